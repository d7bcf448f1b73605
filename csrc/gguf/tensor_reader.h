#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gguf/file.h"
#include "gguf/source_file.h"

namespace engine::gguf {

// Reads the tensors of a file, which must be in the state that its header was read in. Holds the files open.
// Thread-safe.
class TensorReader {
 public:
  // Throws ChangedFile (also where a file is gone), std::system_error.
  explicit TensorReader(const File& file);

  // Fills `out` from `offset` bytes into the tensor on. Throws ChangedFile, MalformedFile.
  void read(const TensorInfo& tensor, std::uint64_t offset, std::span<std::byte> out) const;
  // The whole tensor. Throws the same, and std::bad_alloc.
  std::vector<std::byte> read(const TensorInfo& tensor) const;
  // Has the system fetch what is read next, up to the tensor's end. Advice only.
  void fetch(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t bytes) const;
  // Throws ChangedFile where any read may have seen another state of the file. Call it after the last.
  void require_unchanged() const;

 private:
  std::vector<std::unique_ptr<const SourceFile>> parts_;
};

}  // namespace engine::gguf
