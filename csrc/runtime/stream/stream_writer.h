#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/loop/event_buffer.h"
#include "runtime/stream/client_socket.h"

namespace engine::runtime {

// Where the tokens of a sequence go.
struct TokenStream {
  std::shared_ptr<ClientSocket> socket;
  std::uint64_t request_id = 0;
  std::string execution_id;
  std::uint32_t choices = 1;
};

// Writes tokens to clients as they come, on a thread of its own, and passes all events on to the event loop: at once
// where it has something to do, else so seldom that it costs nothing.
class StreamWriter {
 public:
  // The reader of `source` from now on. Throws std::system_error.
  explicit StreamWriter(EventBuffer& source);
  ~StreamWriter();
  StreamWriter(const StreamWriter&) = delete;
  StreamWriter& operator=(const StreamWriter&) = delete;

  // What was passed on.
  EventBuffer& events() { return events_; }

  // From now on writes a sequence's tokens to its client where it can, until each choice has ended.
  void open(std::uint64_t sequence_id, TokenStream stream);
  // Forgets a sequence that was never submitted.
  void forget(std::uint64_t sequence_id);
  // Passes on what has come and ends the thread. Idempotent.
  void close();

 private:
  void run();
  void forward();
  // Writes what open lines take; which of the events that is.
  std::vector<bool> write(const std::vector<SequenceEvents>& drained);
  void pass_on(SequenceEvents events, bool sent);
  void end_choice(std::uint64_t sequence_id);

  EventBuffer& source_;
  EventBuffer events_;
  int closing_;  // an eventfd: readable once the thread is to end

  std::mutex mutex_;
  std::unordered_map<std::uint64_t, TokenStream> streams_;

  std::thread thread_;
};

}  // namespace engine::runtime
