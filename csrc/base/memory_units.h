#pragma once

#include <cstddef>

#include "base/aligned_buffer.h"
#include "base/thread_team.h"

// Plain passes over memory, to measure how fast it is read.
namespace engine {

inline constexpr std::size_t kReadUnit = 512;  // bytes

// Writes the units of the range: pages that were never written are all the same one.
void write_units(AlignedBuffer& buffer, Range units);
// Reads them all.
void read_units(const AlignedBuffer& buffer, Range units);

}  // namespace engine
