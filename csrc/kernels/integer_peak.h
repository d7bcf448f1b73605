#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

// The most multiply-accumulates of 8-bit integers that an instruction can do, from registers alone: the limit that
// prefill is measured against.
namespace engine::kernels {

struct IntegerPeak {
  std::string_view instruction;
  std::string (*unavailable)();  // why this machine cannot run it; empty where it can
  // Runs the instruction for about a tenth of a millisecond; how many multiply-accumulates that were.
  std::uint64_t (*run)();
};

std::span<const IntegerPeak* const> integer_peaks();

namespace avx2 {
const IntegerPeak& byte_pairs_peak();  // vpmaddubsw ymm, vpaddw ymm
}  // namespace avx2

namespace avx_vnni {
const IntegerPeak& quads_peak();  // vpdpbusd ymm
}  // namespace avx_vnni

namespace avx512 {
const IntegerPeak& quads_peak();  // vpdpbusd zmm
}  // namespace avx512

}  // namespace engine::kernels
