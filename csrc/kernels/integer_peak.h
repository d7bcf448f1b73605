#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/cpu_features.h"

// The most multiply-accumulates of 8-bit integers that an instruction can do, from registers alone: the limit that
// prefill is measured against.
namespace engine::kernels {

struct IntegerPeak {
  std::string_view instruction;
  CpuFeature needs;
  // Runs the instruction for about a tenth of a millisecond; how many multiply-accumulates that were.
  std::uint64_t (*run)();

  // Why this process cannot run it; empty where it can. Throws UnknownCpuFeature.
  std::string unavailable() const;
};

std::span<const IntegerPeak> integer_peaks();

}  // namespace engine::kernels
