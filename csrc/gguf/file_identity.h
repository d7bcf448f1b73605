#pragma once

#include <cstdint>
#include <string>

namespace engine::gguf {

// One state of one file: equal for as long as nothing is written to it. A write that keeps the size and puts the time
// of modification back is still seen, by the time of change of the file's status.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;

  bool operator==(const FileIdentity&) const = default;

  // The fields in decimal, with colons between them.
  std::string text() const;
};

}  // namespace engine::gguf
