#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/float16.h"
#include "kernels/exponential.h"
#include "kernels/order_key.h"
#include "kernels/reference/kernels.h"
#include "quant/block.h"
#include "quant/finite.h"

namespace engine::kernels::reference {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// To the nearest integer, ties to even; |x| < 2^22.
int round_to_even(float x) { return static_cast<int>((x + exponential::kRound) - exponential::kRound); }

// How often a part's magnitude may be doubled and stay within the block's, up to kMaxShift.
int shift_of(float part, float block) {
  int shift = 0;
  while (shift < kMaxShift && part * static_cast<float>(2 << shift) <= block) ++shift;
  return shift;
}

// Quantizes one block of `parts` parts; returns its scale. One that is not finite has the scale NaN, and no codes.
float quantize_block(const float* x, std::size_t parts, std::size_t part_size, std::int8_t* codes,
                     std::int32_t* part_shifts) {
  const float largest = quant::largest_magnitude({x, parts * part_size});
  if (std::isinf(largest)) {
    std::fill_n(codes, parts * part_size, std::int8_t{0});
    std::fill_n(part_shifts, parts, 0);
    return kNaN;
  }
  const float inverse = largest >= kLeastMagnitude ? 127.0F / largest : 0.0F;
  std::array<int, quant::kSuperBlock / kSuperBlockPart> shifts{};
  int finest = 0;
  for (std::size_t p = 0; p < parts; ++p) {
    shifts[p] = shift_of(quant::largest_magnitude({x + p * part_size, part_size}), largest);
    finest = std::max(finest, shifts[p]);
  }
  for (std::size_t p = 0; p < parts; ++p) {
    part_shifts[p] = finest - shifts[p];
    const float part_inverse = inverse * static_cast<float>(1 << shifts[p]);
    for (std::size_t i = p * part_size; i < (p + 1) * part_size; ++i) {
      codes[i] = static_cast<std::int8_t>(round_to_even(x[i] * part_inverse));
    }
  }
  return largest / 127.0F / static_cast<float>(1 << finest);
}

int sum_codes(const std::int8_t* codes, std::size_t n) {
  int sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += codes[i];
  return sum;
}

float gelu_of(float x) {
  using namespace kernels::exponential;
  const float exponent = -x * std::fma(x * x, kGeluCubic, kGeluLinear);
  return x / (1.0F + reference::exponential(exponent));
}

void rotate_pair(float& a, float& b, float cosine, float sine) {
  const float x = a;
  const float y = b;
  a = std::fma(x, cosine, -(y * sine));
  b = std::fma(x, sine, y * cosine);
}

}  // namespace

float exponential(float x) {
  using namespace kernels::exponential;
  if (x < kLow) return 0.0F;
  const float clamped = x > kHigh ? kHigh : x;
  const float shifted = std::fma(clamped, kLog2E, kExponentRound);
  const float n = shifted - kExponentRound;
  const float b = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, clamped));
  float p = kC6;
  for (const float c : {kC5, kC4, kC3, kC2, 1.0F, 1.0F}) p = std::fma(p, b, c);
  return p * std::bit_cast<float>(std::bit_cast<std::uint32_t>(shifted) << 23);
}

float soft_capped(float x, float cap) {
  const float twice = 2.0F * cap;
  // 0 times x adds nothing, or NaN.
  return std::fma(x, 0.0F, cap - twice / (1.0F + exponential(x * (2.0F / cap))));
}

float tree_sum(const float* lanes) {
  std::array<float, 16> sums;
  std::copy_n(lanes, 16, sums.begin());
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

void rms_norm(const float* x, const float* weight, float epsilon, std::size_t n, float* out) {
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < n; ++i) lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
  const float mean = tree_sum(lanes.data()) / static_cast<float>(n);
  const float scale = std::isfinite(mean) ? 1.0F / std::sqrt(mean + epsilon) : kNaN;
  for (std::size_t i = 0; i < n; ++i) out[i] = (x[i] * scale) * weight[i];
}

void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, std::size_t n, float* out) {
  std::array<float, 16> sums{};
  for (std::size_t i = 0; i < n; ++i) sums[i % 16] += x[i];
  const float mean = tree_sum(sums.data()) / static_cast<float>(n);
  std::array<float, 16> squares{};
  for (std::size_t i = 0; i < n; ++i) squares[i % 16] = std::fma(x[i] - mean, x[i] - mean, squares[i % 16]);
  const float variance = tree_sum(squares.data()) / static_cast<float>(n);
  const float scale = std::isfinite(variance) ? 1.0F / std::sqrt(variance + epsilon) : kNaN;
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = ((x[i] - mean) * scale) * weight[i];
    if (bias != nullptr) out[i] += bias[i];
  }
}

void quantize_blocks(const float* x, std::size_t n, const QuantizedRow& out) {
  constexpr std::size_t kParts = quant::kBlock / kBlockPart;
  for (std::size_t b = 0; b < n / quant::kBlock; ++b) {
    std::int8_t* codes = out.codes + b * quant::kBlock;
    std::int32_t* shifts = out.shifts + b * kParts;
    out.scales[b] = quantize_block(x + b * quant::kBlock, kParts, kBlockPart, codes, shifts);
    int sum = 0;
    for (std::size_t p = 0; p < kParts; ++p) {
      sum += (1 << shifts[p]) * sum_codes(codes + p * kBlockPart, kBlockPart);
    }
    out.block_sums[b] = sum;
    out.scaled_sums[b] = out.scales[b] * static_cast<float>(sum);
  }
}

void quantize_super_blocks(const float* x, std::size_t n, const QuantizedRow& out) {
  constexpr std::size_t kParts = quant::kSuperBlock / kSuperBlockPart;
  for (std::size_t b = 0; b < n / quant::kSuperBlock; ++b) {
    out.scales[b] = quantize_block(x + b * quant::kSuperBlock, kParts, kSuperBlockPart,
                                   out.codes + b * quant::kSuperBlock, out.shifts + b * kParts);
  }
  for (std::size_t j = 0; j < n / 16; ++j) {
    const int shift = out.shifts[j * 16 / kSuperBlockPart];
    out.half_sums[j] = static_cast<std::int16_t>(sum_codes(out.codes + j * 16, 16) * (1 << shift));
  }
  for (std::size_t p = 0; p < n / kSuperBlockPart; ++p) {
    out.part_sums[p] = static_cast<std::int16_t>(out.half_sums[2 * p] + out.half_sums[2 * p + 1]);
  }
}

void rotate(float* heads, std::size_t head_count, std::size_t head_dim, std::size_t dimensions, const float* cosines,
            const float* sines, RopeLayout layout) {
  const std::size_t pairs = dimensions / 2;
  for (std::size_t h = 0; h < head_count; ++h) {
    float* head = heads + h * head_dim;
    for (std::size_t i = 0; i < pairs; ++i) {
      float& a = layout == RopeLayout::Adjacent ? head[2 * i] : head[i];
      float& b = layout == RopeLayout::Adjacent ? head[2 * i + 1] : head[i + pairs];
      rotate_pair(a, b, cosines[i], sines[i]);
    }
  }
}

void half_from_float(const float* x, std::size_t n, std::uint16_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = engine::half_from_float(x[i]);
}

void quantize_kv(const float* x, std::size_t n, std::int8_t* codes, std::uint16_t* scales) {
  for (std::size_t b = 0; b < n / kKvScaleChannels; ++b, x += kKvScaleChannels, codes += kKvScaleChannels) {
    // Magnitudes order as their bits do, and NaN lies above them all.
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < kKvScaleChannels; ++i) {
      largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFu);
    }
    scales[b] = engine::half_from_float(std::bit_cast<float>(largest) / 127.0F);
    const float scale = float_from_half(scales[b]);
    const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
    for (std::size_t i = 0; i < kKvScaleChannels; ++i) {
      codes[i] = static_cast<std::int8_t>(inverse == 0.0F ? 0 : std::clamp(round_to_even(x[i] * inverse), -128, 127));
    }
  }
}

void silu_multiply(float* gate, const float* up, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) gate[i] = (gate[i] / (1.0F + exponential(-gate[i]))) * up[i];
}

void gelu_multiply(float* gate, const float* up, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) gate[i] = gelu_of(gate[i]) * up[i];
}

void clamped_silu_multiply(float* gate, const float* up, std::size_t n) {
  using namespace kernels::exponential;
  for (std::size_t i = 0; i < n; ++i) {
    const float x = std::min(gate[i], kSiluClamp);
    const float y = std::clamp(up[i], -kSiluClamp, kSiluClamp) + 1.0F;
    const float product = (x / (1.0F + exponential(x * -kClampedSiluSlope))) * y;
    // 0 times what was clamped adds nothing, or NaN.
    gate[i] = std::fma(gate[i], 0.0F, std::fma(up[i], 0.0F, product));
  }
}

void gelu(float* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] = gelu_of(x[i]);
}

void squared_relu(float* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const float positive = x[i] > 0.0F ? x[i] : 0.0F;
    x[i] = std::fma(x[i], 0.0F, positive * positive);
  }
}

void sigmoid(float* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] = std::fma(x[i], 0.0F, 1.0F / (1.0F + exponential(-x[i])));
}

void soft_cap(float* x, std::size_t n, float cap) {
  for (std::size_t i = 0; i < n; ++i) x[i] = soft_capped(x[i], cap);
}

void softmax(float* x, std::size_t n) {
  if (std::isinf(quant::largest_magnitude({x, n}))) {
    std::fill_n(x, n, kNaN);
    return;
  }
  const float maximum = *std::max_element(x, x + n);
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = exponential(x[i] - maximum);
    lanes[i % 16] += x[i];
  }
  const float sum = tree_sum(lanes.data());
  for (std::size_t i = 0; i < n; ++i) x[i] /= sum;
}

std::int32_t largest_key(const float* x, std::size_t n) {
  std::int32_t largest = order_key(x[0]);
  for (std::size_t i = 1; i < n; ++i) largest = std::max(largest, order_key(x[i]));
  return largest;
}

}  // namespace engine::kernels::reference
