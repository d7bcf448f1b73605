#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/loop/event_buffer.h"

namespace engine::runtime {

// A `Tokens` message of the protocol as its frame: four bytes of length, then a msgpack map with `type` first. Without
// log probabilities, which the message leaves out where there are none.
std::string tokens_frame(std::uint64_t request_id, std::string_view execution_id, const SequenceEvents& events);

}  // namespace engine::runtime
