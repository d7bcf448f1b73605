#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/loop/event_buffer.h"
#include "runtime/stream/text_event.h"

namespace engine::runtime {

// A client's socket, which two threads write: the event loop messages of all kinds, the stream writer tokens alone.
//
// Frames leave whole, and those of one execution in order. The writer therefore sends an execution's tokens itself only
// while its line is open: once everything of the execution that went to the event loop has been posted. A line begins
// closed, so that the first tokens come behind all that is said before them, and closes when the socket takes no more.
//
// Over HTTP the frames are chunks of an answer's body, and a line opens once it was told how texts become chunks.
class ClientSocket {
 public:
  // What the tokens of an execution are sent as.
  enum class Form { Messages, Chunks };
  struct Sending {
    std::string_view execution_id;
    std::uint64_t request_id;
    const SequenceEvents* events;
    bool sent = false;
  };

  // The descriptor of a connected stream socket, which stays the caller's.
  ClientSocket(int descriptor, Form form);
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;

  // --- for the event loop

  // Sends as much as the peer takes at once; what is left, which is all of it also where the peer is gone. It begins
  // with what a chunk of the writer's may have left. Unless that is nothing, the socket is the caller's until
  // release().
  std::string send(std::string_view data);
  // Something of the event loop's stands in line to be sent: the socket is the caller's until release().
  void hold();
  // Everything of the event loop's has been sent.
  void release();
  // One message of tokens that was counted by count_unsent() has been sent, or queued by the caller.
  void mark_posted(const std::string& execution_id);
  // How the texts of an execution's choices, in their order, become chunks; no effect once it has ended.
  void tell_texts(const std::string& execution_id, std::vector<TextEvent> texts);
  // Closes the lines of all executions for good.
  void give_up();
  // How often the writer has sent something.
  std::uint64_t writes() const { return writes_; }
  // Sends nothing any more: the descriptor is about to be closed.
  void close();

  // --- for the stream writer

  void begin(const std::string& execution_id);
  void end(const std::string& execution_id);
  // Sends the tokens of open lines, and marks those that it sent. Does not wait.
  void send_tokens(std::span<Sending> sendings);
  // The event loop will be given one more message of tokens to post.
  void count_unsent(const std::string& execution_id);

 private:
  struct Line {
    bool open = false;
    unsigned unsent = 0;           // messages that the event loop has yet to post
    std::vector<TextEvent> texts;  // by choice
  };
  struct Frame {
    Sending* sending;
    std::string bytes;
  };

  std::string frame_of(const Line& line, const Sending& sending) const;
  // Sends frames in one call; closes their lines where they could not be sent.
  void send_together(std::span<const Frame> frames);
  Line* find(std::string_view execution_id);

  std::mutex mutex_;
  int descriptor_;
  const Form form_;
  const std::size_t whole_bytes_;  // so much a Unix socket takes whole, or not at all
  bool held_ = false;              // by the event loop
  std::string rest_;               // of what the writer sent: other sockets take parts
  std::atomic<std::uint64_t> writes_ = 0;
  std::unordered_map<std::string, Line> lines_;
};

}  // namespace engine::runtime
