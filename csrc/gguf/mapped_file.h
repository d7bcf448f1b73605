#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace engine::gguf {

// A regular file mapped read-only.
class MappedFile {
 public:
  // Throws std::system_error where the file cannot be opened or mapped, MalformedFile where it is no regular file,
  // std::bad_alloc where the address space has no room for it.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // The pages of `part` are not needed again soon.
  static void release(std::span<const std::byte> part);

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace engine::gguf
