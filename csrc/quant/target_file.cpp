#include "quant/target_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "base/file_broker.h"

namespace engine::quant {
namespace {

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

[[noreturn]] void fail(int error, const std::string& path) {
  throw std::system_error(error, std::generic_category(), path);
}

std::string beside(const std::string& path) {
  std::random_device random;
  return path + "." + std::to_string(random()) + ".part";
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

NewFile::NewFile(std::string path) : path_(std::move(path)), part_(beside(path_)), fd_(-1) {
  struct stat status{};
  if (lstat(path_.c_str(), &status) == 0) fail(EEXIST, path_);
  fd_ = open_new(part_);
}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
  if (!part_.empty()) remove_new(part_);
}

void NewFile::keep() {
  if (fsync(fd_) != 0) fail(errno, path_);
  // Some file systems only now say that a write failed.
  if (close(std::exchange(fd_, -1)) != 0) fail(errno, path_);
  name_new(part_, path_);
  part_.clear();
}

}  // namespace engine::quant
