#include "runtime/stream/stream_writer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <system_error>

namespace engine::runtime {
namespace {

// How long an account of tokens that are with their client may wait: ten turns of the event loop a second take 0.4 % of
// a processor.
constexpr std::int64_t kAccountPatienceNs = 100'000'000;

bool has_tokens(const SequenceEvents& events) { return !events.token_ids.empty() || !events.text.empty(); }

bool has_unsent(const SequenceEvents& events) {
  return events.sent_tokens < events.token_ids.size() || events.sent_text < events.text.size();
}

bool concerns_tokens_alone(const SequenceEvents& events) {
  return !events.prefill_start_ns && events.stop == StopReason::None;
}

template <typename Element>
void append(std::vector<Element>& to, std::vector<Element>& more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// Adds later events of one choice to earlier ones.
void merge(SequenceEvents& earlier, SequenceEvents later, bool sent) {
  if (sent) {
    earlier.sent_tokens += later.token_ids.size();
    earlier.sent_text += later.text.size();
  }
  if (later.prefill_start_ns) {
    earlier.prefill_start_ns = later.prefill_start_ns;
    earlier.cached_prompt_tokens = later.cached_prompt_tokens;
  }
  append(earlier.token_ids, later.token_ids);
  append(earlier.token_times_ns, later.token_times_ns);
  append(earlier.logprobs, later.logprobs);
  if (later.stop == StopReason::None) {
    earlier.text += later.text;
  } else {
    earlier.end_as(later);
  }
}

}  // namespace

StreamWriter::StreamWriter(EventBuffer& source) : source_(source), closing_(eventfd(0, EFD_CLOEXEC)) {
  if (closing_ < 0) throw std::system_error(errno, std::generic_category(), "the stream writer's end");
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "stream-writer");
}

StreamWriter::~StreamWriter() {
  close();
  ::close(closing_);
}

void StreamWriter::open(std::uint64_t sequence_id, TokenStream stream) {
  const std::scoped_lock lock(mutex_);
  stream.socket->begin(stream.execution_id);
  streams_.insert_or_assign(sequence_id, std::move(stream));
}

void StreamWriter::forget(std::uint64_t sequence_id) {
  const std::scoped_lock lock(mutex_);
  const auto stream = streams_.find(sequence_id);
  if (stream == streams_.end()) return;
  stream->second.socket->end(stream->second.execution_id);
  streams_.erase(stream);
}

void StreamWriter::close() {
  if (!thread_.joinable()) return;
  eventfd_write(closing_, 1);
  thread_.join();
}

void StreamWriter::run() {
  std::array<pollfd, 2> awaited{
      {{.fd = source_.descriptor(), .events = POLLIN, .revents = 0}, {.fd = closing_, .events = POLLIN, .revents = 0}}};
  while (awaited[1].revents == 0) {
    if (poll(awaited.data(), awaited.size(), -1) > 0) forward();
  }
}

void StreamWriter::forward() {
  std::vector<SequenceEvents> drained = source_.drain();
  const std::vector<bool> sent = write(drained);
  for (std::size_t i = 0; i < drained.size(); ++i) pass_on(std::move(drained[i]), sent[i]);
  events_.announce();
}

std::vector<bool> StreamWriter::write(const std::vector<SequenceEvents>& drained) {
  struct Batch {
    ClientSocket* socket;
    std::vector<ClientSocket::Sending> sendings;
    std::vector<std::size_t> places;  // in `drained`
  };
  std::vector<bool> sent(drained.size());
  const std::scoped_lock lock(mutex_);
  std::vector<Batch> batches;  // few: a client is found sooner than it is hashed
  for (std::size_t i = 0; i < drained.size(); ++i) {
    const auto found = streams_.find(drained[i].sequence_id);
    if (found == streams_.end() || !has_tokens(drained[i])) continue;
    const TokenStream& stream = found->second;
    ClientSocket* socket = stream.socket.get();
    auto batch = std::ranges::find(batches, socket, &Batch::socket);
    if (batch == batches.end()) batch = batches.insert(batch, {socket, {}, {}});
    batch->sendings.push_back({stream.execution_id, stream.request_id, &drained[i]});
    batch->places.push_back(i);
  }
  for (Batch& batch : batches) {
    batch.socket->send_tokens(batch.sendings);
    for (std::size_t i = 0; i < batch.sendings.size(); ++i) sent[batch.places[i]] = batch.sendings[i].sent;
  }
  return sent;
}

void StreamWriter::pass_on(SequenceEvents events, bool sent) {
  const std::uint64_t sequence_id = events.sequence_id;
  const bool ended = events.stop != StopReason::None;
  const bool waits = concerns_tokens_alone(events) && (sent || !has_tokens(events));
  events_.add(sequence_id, events.choice, waits ? kAccountPatienceNs : 0, [&](SequenceEvents& earlier) {
    const bool had_unsent = has_unsent(earlier);
    merge(earlier, std::move(events), sent);
    if (had_unsent || !has_unsent(earlier)) return;
    // Counted before the event loop can drain it.
    const std::scoped_lock lock(mutex_);
    const auto stream = streams_.find(sequence_id);
    if (stream != streams_.end()) stream->second.socket->count_unsent(stream->second.execution_id);
  });
  if (ended) end_choice(sequence_id);
}

void StreamWriter::end_choice(std::uint64_t sequence_id) {
  const std::scoped_lock lock(mutex_);
  const auto stream = streams_.find(sequence_id);
  if (stream == streams_.end() || --stream->second.choices > 0) return;
  stream->second.socket->end(stream->second.execution_id);
  streams_.erase(stream);
}

}  // namespace engine::runtime
