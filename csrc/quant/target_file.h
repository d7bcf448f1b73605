#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace engine::quant {

// An open, empty file, given the size it will have and written at any place by any thread. The opener closes it.
class TargetFile {
 public:
  // Throws std::system_error, also where the disk lacks the room. `name` is for messages.
  TargetFile(int fd, std::uint64_t size, std::string name);

  // Throws std::system_error.
  void write(std::span<const std::byte> bytes, std::uint64_t offset) const;

 private:
  int fd_;
  std::string name_;
};

// A new file, under its name only once it is whole: until it is kept it lies beside its place, as NAME.*.part, which is
// all that a killed process leaves.
class NewFile {
 public:
  // Throws std::system_error: EEXIST where something of that name is there.
  explicit NewFile(std::string path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  int fd() const { return fd_; }
  // The file is complete: it takes its name, once its bytes are on the disk. Throws std::system_error, as above too.
  void keep();

 private:
  std::string path_;
  std::string part_;  // where it lies; empty once it is kept
  int fd_;
};

}  // namespace engine::quant
