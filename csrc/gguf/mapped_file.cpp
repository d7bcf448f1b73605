#include "gguf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <new>
#include <system_error>

#include "gguf/error.h"

namespace engine::gguf {
namespace {

class FileDescriptor {
 public:
  // Without O_NONBLOCK a named pipe would keep us waiting for a writer.
  explicit FileDescriptor(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
  }
  ~FileDescriptor() { close(fd_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const FileDescriptor file(path);
  struct stat status{};
  if (fstat(file.get(), &status) != 0) throw std::system_error(errno, std::generic_category(), path);
  if (!S_ISREG(status.st_mode)) throw MalformedFile(path + " is not a regular file");
  if (status.st_size == 0) throw MalformedFile("the file is empty");
  size_ = static_cast<std::size_t>(status.st_size);
  void* mapping = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapping == MAP_FAILED && errno == ENOMEM) throw std::bad_alloc();
  if (mapping == MAP_FAILED) throw std::system_error(errno, std::generic_category(), path);
  data_ = static_cast<const std::byte*>(mapping);
}

MappedFile::~MappedFile() { munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::release(std::span<const std::byte> part) {
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = (reinterpret_cast<std::uintptr_t>(part.data()) + kPage - 1) / kPage * kPage;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / kPage * kPage;
  // Advice only: a refusal leaves the pages resident and nothing else changed.
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace engine::gguf
