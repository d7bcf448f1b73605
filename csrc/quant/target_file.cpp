#include "quant/target_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace engine::quant {
namespace {

constexpr mode_t kMode = 0666;  // less the process's mask

// Room for the whole file at once, where the file system can say so beforehand.
int reserve(int fd, std::uint64_t size) {
  const auto length = static_cast<off_t>(size);
  while (fallocate(fd, 0, 0, length) != 0) {
    if (errno == EINTR) continue;
    if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
    return ftruncate(fd, length) == 0 ? 0 : errno;
  }
  return 0;
}

}  // namespace

TargetFile::TargetFile(int fd, std::uint64_t size, std::string name) : fd_(fd), name_(std::move(name)) {
  if (const int error = reserve(fd_, size); error != 0) {
    throw std::system_error(error, std::generic_category(), name_);
  }
}

void TargetFile::write(std::span<const std::byte> bytes, std::uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw std::system_error(errno, std::generic_category(), name_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

NewFile::NewFile(std::string path)
    : path_(std::move(path)), fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path_);
}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
  if (!kept_) unlink(path_.c_str());
}

void NewFile::keep() {
  const int fd = std::exchange(fd_, -1);
  // Some file systems only now say that a write failed.
  if (close(fd) != 0) throw std::system_error(errno, std::generic_category(), path_);
  kept_ = true;
}

}  // namespace engine::quant
