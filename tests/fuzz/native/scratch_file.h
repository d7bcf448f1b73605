#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace fuzz {

// A file in memory that is rewritten for every input: what reads models wants a path.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name) : path_(folder() + "/" + name) {}
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() { unlink(path_.c_str()); }

  const std::string& path() const { return path_; }

  void write(std::span<const std::uint8_t> content) const {
    const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool whole = ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
    close(fd);
    if (!whole) throw std::runtime_error("no room in memory for " + path_);
  }

 private:
  static const std::string& folder() {
    static const std::string made = [] {
      std::string path = "/dev/shm/engine-fuzz-" + std::to_string(getpid());
      if (mkdir(path.c_str(), 0700) != 0) throw std::runtime_error("no folder in memory can be made");
      return path;
    }();
    return made;
  }

  std::string path_;
};

}  // namespace fuzz
