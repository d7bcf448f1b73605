#include "runtime/stream/client_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/stream/tokens_frame.h"

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

ClientSocket::ClientSocket(int descriptor, Form form)
    : descriptor_(descriptor), form_(form), whole_bytes_(whole_bytes(descriptor)) {}

std::string ClientSocket::send(std::string_view data) {
  const std::scoped_lock lock(mutex_);
  std::string left = std::exchange(rest_, {});
  if (!left.empty()) data = left.append(data);
  const auto sent = descriptor_ < 0 ? -1 : ::send(descriptor_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  data.remove_prefix(sent < 0 ? 0 : static_cast<std::size_t>(sent));
  held_ = !data.empty();
  return std::string(data);
}

void ClientSocket::hold() {
  const std::scoped_lock lock(mutex_);
  held_ = true;
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
  if (line->unsent == 0) line->open = form_ == Form::Messages || !line->texts.empty();
}

void ClientSocket::tell_texts(const std::string& execution_id, std::vector<TextEvent> texts) {
  const std::scoped_lock lock(mutex_);
  if (Line* line = find(execution_id); line != nullptr) line->texts = std::move(texts);
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

void ClientSocket::send_tokens(std::span<Sending> sendings) {
  const std::scoped_lock lock(mutex_);
  std::vector<Frame> together;
  std::size_t bytes = 0;
  for (Sending& sending : sendings) {
    Line* line = find(sending.execution_id);
    if (line == nullptr || !line->open) continue;
    Frame frame{&sending, frame_of(*line, sending)};
    if (bytes + frame.bytes.size() > whole_bytes_) {
      send_together(together);
      together.clear();
      bytes = 0;
    }
    if (held_ || !rest_.empty() || frame.bytes.size() > whole_bytes_) line->open = false;
    if (!line->open) continue;  // also where the frames before could not be sent
    bytes += frame.bytes.size();
    together.push_back(std::move(frame));
  }
  send_together(together);
}

std::string ClientSocket::frame_of(const Line& line, const Sending& sending) const {
  const SequenceEvents& events = *sending.events;
  if (form_ == Form::Messages) return tokens_frame(sending.request_id, sending.execution_id, events);
  // Tokens whose text is not certain yet are nothing to such a client.
  return events.text.empty() ? std::string() : text_chunk(line.texts.at(events.choice), events.text);
}

void ClientSocket::send_together(std::span<const Frame> frames) {
  std::string data;
  for (const Frame& frame : frames) data += frame.bytes;
  bool taken = true;
  if (!data.empty()) {
    const auto sent = ::send(descriptor_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    taken = sent >= 0;
    if (taken) {
      rest_ = data.substr(static_cast<std::size_t>(sent));
      ++writes_;
    }
  }
  for (const Frame& frame : frames) {
    frame.sending->sent = taken;
    if (!taken || !rest_.empty()) find(frame.sending->execution_id)->open = false;
  }
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
