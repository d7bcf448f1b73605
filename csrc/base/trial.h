#pragma once

#include <cstdint>

namespace engine {

// Runs code that may hold an instruction which the processor refuses. False if it did: what the code had begun is left.
bool processor_runs(std::uint64_t (*code)());

}  // namespace engine
