#include "base/file_broker.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <system_error>

namespace engine {
namespace {

constexpr mode_t kNewFileMode = 0666;  // less the process's mask

std::atomic<int> broker{-1};

// One request is answered before the next is sent.
std::mutex& asking() {
  static std::mutex mutex;
  return mutex;
}

[[noreturn]] void refuse(int error, const std::string& path) {
  throw std::system_error(error, std::generic_category(), path);
}

union Control {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

void send(int socket, const std::string& text, const std::string& path) {
  while (::send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) refuse(errno, path);
  }
}

// The descriptor that came with the answer; -1: none did.
int receive(int socket, const std::string& path) {
  int error = 0;
  iovec part{&error, sizeof error};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t received = 0;
  while ((received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) refuse(errno, path);
  }
  if (received != sizeof error) refuse(EPIPE, path);  // the broker has ended
  if (error == ENOEXEC) {
    refuse(EACCES,
           path + ": outside its folders the engine's sandbox reads models and importance matrices, and writes *.gguf");
  }
  if (error != 0) refuse(error, path);
  const cmsghdr* first = CMSG_FIRSTHDR(&message);
  if (first == nullptr || first->cmsg_type != SCM_RIGHTS) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(first), sizeof fd);
  return fd;
}

int ask(char request, const std::string& path) {
  const std::scoped_lock lock(asking());
  send(broker, request + path, path);
  return receive(broker, path);
}

// Whether the process's sandbox stands between it and the file. EXDEV: renaming takes both folders.
bool walled_off(int error) { return (error == EACCES || error == EXDEV) && broker.load() >= 0; }

int open_or_ask(const std::string& path, int flags, char request) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, kNewFileMode);
  if (fd >= 0) return fd;
  const int error = errno;
  if (!walled_off(error)) refuse(error, path);
  return ask(request, path);
}

// Returns an error number, or 0.
int rename_to_free(const std::string& path, const std::string& name) {
  if (renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system that cannot rename so, as NFS, can link.
  if (link(path.c_str(), name.c_str()) != 0) return errno;
  unlink(path.c_str());
  return 0;
}

// The file is whole under its name; that the name outlives a loss of power is for the system to grant, or not.
void sync_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace

void set_file_broker(int socket) { broker = socket; }

// Without O_NONBLOCK a named pipe would keep us waiting for a writer.
int open_to_read(const std::string& path) { return open_or_ask(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 'r'); }

int open_new(const std::string& path) { return open_or_ask(path, O_WRONLY | O_CREAT | O_EXCL, 'w'); }

void name_new(const std::string& path, const std::string& name) {
  const int error = rename_to_free(path, name);
  if (error == 0) return sync_folder_of(name);
  if (!walled_off(error)) refuse(error, name);
  ask('n', path + '\0' + name);
}

void remove_new(const std::string& path) {
  if (unlink(path.c_str()) == 0 || !walled_off(errno)) return;
  try {
    ask('d', path);
  } catch (const std::system_error&) {
    return;  // the broker removes it when it ends
  }
}

}  // namespace engine
