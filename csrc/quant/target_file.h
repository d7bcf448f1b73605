#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace engine::quant {

// A new file of known size, written at any place by any thread. Unless kept it is removed again.
class TargetFile {
 public:
  // Throws std::system_error: EEXIST where something of that name is there, ENOSPC where the disk lacks the room.
  TargetFile(const std::string& path, std::uint64_t size);
  ~TargetFile();
  TargetFile(const TargetFile&) = delete;
  TargetFile& operator=(const TargetFile&) = delete;

  // Throws std::system_error.
  void write(std::span<const std::byte> bytes, std::uint64_t offset) const;
  // The file is complete, and stays. Throws std::system_error.
  void keep();

 private:
  void close_descriptor();

  std::string path_;
  int fd_;
  bool kept_ = false;
};

}  // namespace engine::quant
