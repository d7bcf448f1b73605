#include "kernels/kernel_table.h"

#include <algorithm>
#include <array>

#include "base/cpu_features.h"
#include "base/trial.h"
#include "kernels/amx/kernels.h"
#include "kernels/avx2/kernels.h"
#include "kernels/avx512/kernels.h"
#include "kernels/gemm/panel.h"
#include "kernels/reference/kernels.h"
#include "quant/finite.h"

// Compiled for the x86-64 baseline and constant: nothing is called on the way to a table but the question whether the
// processor can run it.
namespace engine::kernels {

// The products of each instruction set, made of products.cpp.in.
namespace avx2 {
Multiply multiply;
std::uint64_t multiply_bytes();
}  // namespace avx2
namespace avx_vnni {
Multiply multiply;
std::uint64_t multiply_bytes();
}  // namespace avx_vnni
namespace avx512 {
Multiply multiply;
std::uint64_t multiply_bytes();
}  // namespace avx512

namespace {

constexpr KernelTable kReference{
    .name = "reference",
    .needs = "",
    .is_on_trial = false,
    .packed_bytes = [](const Matrix&) { return std::size_t{0}; },
    .pack = [](Matrix& matrix, std::size_t, std::size_t) { return quant::all_finite(matrix.type, matrix.raw); },
    .multiply = reference::multiply,
    .peak = {},
    .rms_norm = reference::rms_norm,
    .layer_norm = reference::layer_norm,
    .quantize_blocks = reference::quantize_blocks,
    .quantize_super_blocks = reference::quantize_super_blocks,
    .split_codes = nullptr,
    .rotate = reference::rotate,
    .half_from_float = reference::half_from_float,
    .quantize_kv = reference::quantize_kv,
    .attend_f16 = reference::attend_f16,
    .attend_q8_0 = reference::attend_q8_0,
    .merge_split = reference::merge_split,
    .convolve = reference::convolve,
    .silu_multiply = reference::silu_multiply,
    .gelu_multiply = reference::gelu_multiply,
    .clamped_silu_multiply = reference::clamped_silu_multiply,
    .gelu = reference::gelu,
    .squared_relu = reference::squared_relu,
    .sigmoid = reference::sigmoid,
    .soft_cap = reference::soft_cap,
    .softmax = reference::softmax,
    .sum_exponentials = reference::sum_exponentials,
    .compare_logits = reference::compare_logits,
    .largest_key = reference::largest_key,
    .candidates = &reference::kCandidates,
    .quantize_rows = quant::quantize_rows,
    .dequantize = quant::dequantize_row,
};

constexpr KernelTable kAvx2{
    .name = "cpu_avx2",
    .needs = "avx2",
    .is_on_trial = false,
    .packed_bytes = panel_bytes,
    .pack = pack_panels,
    .multiply = avx2::multiply,
    .peak = {"vpmaddubsw ymm, vpaddw ymm", avx2::multiply_bytes},
    .rms_norm = avx2::rms_norm,
    .layer_norm = avx2::layer_norm,
    .quantize_blocks = avx2::quantize_blocks,
    .quantize_super_blocks = avx2::quantize_super_blocks,
    .split_codes = nullptr,
    .rotate = avx2::rotate,
    .half_from_float = avx2::half_from_float,
    .quantize_kv = avx2::quantize_kv,
    .attend_f16 = avx2::attend_f16,
    .attend_q8_0 = avx2::attend_q8_0,
    .merge_split = avx2::merge_split,
    .convolve = avx2::convolve,
    .silu_multiply = avx2::silu_multiply,
    .gelu_multiply = avx2::gelu_multiply,
    .clamped_silu_multiply = avx2::clamped_silu_multiply,
    .gelu = avx2::gelu,
    .squared_relu = avx2::squared_relu,
    .sigmoid = avx2::sigmoid,
    .soft_cap = avx2::soft_cap,
    .softmax = avx2::softmax,
    .sum_exponentials = avx2::sum_exponentials,
    .compare_logits = avx2::compare_logits,
    .largest_key = avx2::largest_key,
    .candidates = &avx2::kCandidates,
    .quantize_rows = avx2::quantize_rows,
    .dequantize = avx2::dequantize,
};

constexpr KernelTable kAvxVnni = [] {
  KernelTable table = kAvx2;
  table.name = "cpu_avx_vnni";
  table.needs = "avx_vnni";
  table.multiply = avx_vnni::multiply;
  table.peak = {"vpdpbusd ymm", avx_vnni::multiply_bytes};
  return table;
}();

constexpr KernelTable kAvx512 = [] {
  KernelTable table = kAvx2;
  table.name = "cpu_avx512";
  table.needs = "avx512_vnni";
  table.multiply = avx512::multiply;
  table.peak = {"vpdpbusd zmm", avx512::multiply_bytes};
  table.attend_f16 = avx512::attend_f16;
  table.attend_q8_0 = avx512::attend_q8_0;
  table.candidates = &avx512::kCandidates;
  table.quantize_rows = avx512::quantize_rows;
  return table;
}();

constexpr KernelTable kAmx = [] {
  KernelTable table = kAvx512;
  table.name = "cpu_amx";
  table.needs = "amx_int8";
  table.is_on_trial = true;
  table.multiply = amx::multiply;
  table.split_codes = amx::split_codes;
  table.peak = {"tdpbssd tmm", amx::multiply_bytes};
  return table;
}();

constexpr std::array<const KernelTable*, 5> kTables{&kAvx512, &kAmx, &kAvxVnni, &kAvx2, &kReference};

}  // namespace

std::string KernelTable::unavailable() const {
  if (needs.empty()) return "";
  std::string reason = cpu_feature(needs).unavailable;
  if (!reason.empty() || !is_on_trial) return reason;
  static const bool runs = processor_runs(peak.run);  // there is one such table
  return runs ? "" : "the processor shows AMX tiles and refuses them";
}

std::span<const KernelTable* const> kernel_tables() { return kTables; }

const KernelTable* find_kernel_table(std::string_view name) {
  const auto found = std::ranges::find(kTables, name, [](const KernelTable* table) { return table->name; });
  return found == kTables.end() ? nullptr : *found;
}

}  // namespace engine::kernels
