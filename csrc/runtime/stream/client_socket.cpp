#include "runtime/stream/client_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

namespace engine::runtime {
namespace {

// Linux takes data of a Unix stream socket whole, or not at all, that fits into one of its buffers: 32 KiB, but no more
// than half of what the socket may hold, without a header.
constexpr std::size_t kBufferBytes = 16384;
constexpr std::size_t kHeaderBytes = 64;

std::size_t whole_bytes(int descriptor) {
  int held = 0;
  socklen_t size = sizeof held;
  if (getsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &held, &size) != 0) return 0;
  const auto half = static_cast<std::size_t>(held) / 2;
  return half < kHeaderBytes ? 0 : std::min(kBufferBytes, half - kHeaderBytes);
}

}  // namespace

ClientSocket::ClientSocket(int descriptor) : descriptor_(descriptor), whole_bytes_(whole_bytes(descriptor)) {}

std::size_t ClientSocket::send(std::string_view data) {
  const std::scoped_lock lock(mutex_);
  if (descriptor_ < 0) return 0;
  const auto sent = ::send(descriptor_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  held_ = taken < data.size();
  return taken;
}

void ClientSocket::release() {
  const std::scoped_lock lock(mutex_);
  held_ = false;
}

void ClientSocket::mark_posted(const std::string& execution_id) {
  const std::scoped_lock lock(mutex_);
  Line* line = find(execution_id);
  if (line == nullptr || line->unsent == 0) return;
  --line->unsent;
  if (line->unsent == 0) line->open = true;
}

void ClientSocket::give_up() {
  const std::scoped_lock lock(mutex_);
  lines_.clear();
}

void ClientSocket::close() {
  const std::scoped_lock lock(mutex_);
  lines_.clear();
  descriptor_ = -1;
}

void ClientSocket::begin(const std::string& execution_id) {
  const std::scoped_lock lock(mutex_);
  lines_.try_emplace(execution_id);
}

void ClientSocket::end(const std::string& execution_id) {
  const std::scoped_lock lock(mutex_);
  lines_.erase(execution_id);
}

void ClientSocket::send_tokens(std::span<Frame> frames) {
  const std::scoped_lock lock(mutex_);
  std::vector<Frame*> together;
  std::size_t bytes = 0;
  for (Frame& frame : frames) {
    if (bytes + frame.bytes.size() > whole_bytes_) {
      send_together(together);
      together.clear();
      bytes = 0;
    }
    Line* line = find(frame.execution_id);
    if (line == nullptr || !line->open) continue;
    if (held_ || frame.bytes.size() > whole_bytes_) {
      line->open = false;
      continue;
    }
    together.push_back(&frame);
    bytes += frame.bytes.size();
  }
  send_together(together);
}

void ClientSocket::send_together(std::span<Frame* const> frames) {
  std::string data;
  for (const Frame* frame : frames) {
    // Frames that could not be sent before have closed the line.
    if (find(frame->execution_id)->open) data += frame->bytes;
  }
  if (data.empty()) return;
  const auto sent = ::send(descriptor_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  const bool whole = sent == static_cast<ssize_t>(data.size());
  // Half a frame could not be mended from here: rather no connection than a wrong one. See whole_bytes().
  if (sent >= 0 && !whole) ::shutdown(descriptor_, SHUT_RDWR);
  for (Frame* frame : frames) {
    Line& line = *find(frame->execution_id);
    frame->sent = line.open && whole;
  }
  if (whole) return;
  for (const Frame* frame : frames) find(frame->execution_id)->open = false;
}

void ClientSocket::count_unsent(const std::string& execution_id) {
  const std::scoped_lock lock(mutex_);
  Line* line = find(execution_id);
  if (line == nullptr) return;
  line->open = false;
  ++line->unsent;
}

ClientSocket::Line* ClientSocket::find(std::string_view execution_id) {
  const auto line = lines_.find(std::string(execution_id));
  return line == lines_.end() ? nullptr : &line->second;
}

}  // namespace engine::runtime
