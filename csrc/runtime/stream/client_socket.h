#pragma once

#include <cstddef>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace engine::runtime {

// A client's socket, which two threads write: the event loop messages of all kinds, the stream writer tokens alone.
//
// Frames leave whole, and those of one execution in order. The writer therefore sends an execution's tokens itself only
// while its line is open: once everything of the execution that went to the event loop has been posted. A line begins
// closed, so that the first tokens come behind all that is said before them, and closes when the socket takes no more.
class ClientSocket {
 public:
  struct Frame {
    std::string_view execution_id;
    std::string bytes;
    bool sent = false;
  };

  // The descriptor of a connected Unix stream socket, which stays the caller's.
  explicit ClientSocket(int descriptor);
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;

  // --- for the event loop

  // Sends as much as the peer takes at once; how many bytes that was, 0 also where the peer is gone. Unless that is
  // all, the socket is the caller's until release().
  std::size_t send(std::string_view data);
  // Everything of the event loop's has been sent.
  void release();
  // One message of tokens that was counted by count_unsent() has been sent, or queued by the caller.
  void mark_posted(const std::string& execution_id);
  // Closes the lines of all executions for good.
  void give_up();
  // Sends nothing any more: the descriptor is about to be closed.
  void close();

  // --- for the stream writer

  void begin(const std::string& execution_id);
  void end(const std::string& execution_id);
  // Sends the frames of open lines, and marks those that it sent. Does not wait.
  void send_tokens(std::span<Frame> frames);
  // The event loop will be given one more message of tokens to post.
  void count_unsent(const std::string& execution_id);

 private:
  struct Line {
    bool open = false;
    unsigned unsent = 0;  // messages that the event loop has yet to post
  };

  // Sends frames in one call; closes their lines where they could not be sent.
  void send_together(std::span<Frame* const> frames);
  Line* find(std::string_view execution_id);

  std::mutex mutex_;
  int descriptor_;
  const std::size_t whole_bytes_;  // so much is sent whole, or not at all
  bool held_ = false;              // by the event loop
  std::unordered_map<std::string, Line> lines_;
};

}  // namespace engine::runtime
