#include "quant/target_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
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

[[noreturn]] void fail(int error, const std::string& path) {
  throw std::system_error(error, std::generic_category(), path);
}

std::string beside(const std::string& path) {
  std::random_device random;
  return path + "." + std::to_string(random()) + ".part";
}

// Gives a file its name, unless something has it already. Returns an error number, or 0.
int name(const std::string& part, const std::string& path) {
  if (renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system that cannot rename so, as NFS, can link.
  if (link(part.c_str(), path.c_str()) != 0) return errno;
  unlink(part.c_str());
  return 0;
}

// The file is whole under its name; that the name outlives a loss of power is for the system to grant, or not.
void sync_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
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
  fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
  if (fd_ < 0) fail(errno, path_);
}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
  if (!part_.empty()) unlink(part_.c_str());
}

void NewFile::keep() {
  if (fsync(fd_) != 0) fail(errno, path_);
  // Some file systems only now say that a write failed.
  if (close(std::exchange(fd_, -1)) != 0) fail(errno, path_);
  if (const int error = name(part_, path_); error != 0) fail(error, path_);
  part_.clear();
  sync_folder(path_);
}

}  // namespace engine::quant
