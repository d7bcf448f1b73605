#include "runtime/event_buffer.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace engine::runtime {

EventBuffer::EventBuffer() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

EventBuffer::~EventBuffer() { close(descriptor_); }

void EventBuffer::hasten(std::uint64_t sequence_id) {
  const std::scoped_lock lock(mutex_);
  const auto first = index_.lower_bound({sequence_id, 0});
  due_ = due_ || (first != index_.end() && first->first.first == sequence_id);
}

void EventBuffer::announce() {
  const std::scoped_lock lock(mutex_);
  if (!due_ || std::exchange(signalled_, true)) return;
  const eventfd_t one = 1;
  eventfd_write(descriptor_, one);  // cannot fail: the counter is 0
}

std::vector<SequenceEvents> EventBuffer::drain() {
  const std::scoped_lock lock(mutex_);
  if (std::exchange(signalled_, false)) {
    eventfd_t count = 0;
    eventfd_read(descriptor_, &count);
  }
  due_ = false;
  index_.clear();
  return std::exchange(events_, {});
}

}  // namespace engine::runtime
