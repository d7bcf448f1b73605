#include "gguf/source_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/file_broker.h"
#include "gguf/error.h"

namespace engine::gguf {
namespace {

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

struct stat status_of(int fd, const std::string& path) {
  struct stat status{};
  if (fstat(fd, &status) != 0) throw std::system_error(errno, std::generic_category(), path);
  return status;
}

FileIdentity identity_of(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<std::uint64_t>(status.st_size),
          .modified_ns = nanoseconds(status.st_mtim),
          .changed_ns = nanoseconds(status.st_ctim)};
}

void require_regular(const struct stat& status, const std::string& path) {
  if (!S_ISREG(status.st_mode)) throw MalformedFile(path + " is not a regular file");
}

// Looked at before it is opened, since some devices do things when they are.
int open_regular(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) == 0) require_regular(status, path);
  return open_to_read(path);
}

}  // namespace

std::string FileIdentity::text() const {
  std::string text = std::to_string(device);
  text.append(":").append(std::to_string(inode));
  text.append(":").append(std::to_string(size));
  text.append(":").append(std::to_string(modified_ns));
  return text.append(":").append(std::to_string(changed_ns));
}

SourceFile::SourceFile(const std::string& path) : path_(path), fd_(open_regular(path)) {
  try {
    const struct stat status = status_of(fd_, path_);
    require_regular(status, path_);
    if (status.st_size == 0) throw MalformedFile("the file is empty");
    identity_ = identity_of(status);
  } catch (...) {
    close(fd_);
    throw;
  }
  // Advice only: it doubles what is read ahead.
  posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

SourceFile::~SourceFile() { close(fd_); }

void SourceFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw MalformedFile(path_ + " cannot be read: " + std::generic_category().message(errno));
    if (count == 0) throw ChangedFile(path_);
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void SourceFile::fetch(std::uint64_t offset, std::uint64_t bytes) const {
  posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

void SourceFile::require_unchanged() const {
  if (identity_of(status_of(fd_, path_)) != identity_) throw ChangedFile(path_);
}

void SourceFile::require(const FileIdentity& expected) const {
  if (identity_ != expected) throw ChangedFile(path_);
}

}  // namespace engine::gguf
