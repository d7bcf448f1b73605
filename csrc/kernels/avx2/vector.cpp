#include <immintrin.h>

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/avx2/kernels.h"
#include "kernels/avx2/lanes.h"
#include "kernels/order_key.h"
#include "quant/block.h"
#include "quant/finite.h"

namespace engine::kernels::avx2 {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// The bits of the largest magnitude of n values, n a multiple of 16, in every lane. Magnitudes order as their bits do,
// and NaN lies above them all.
__m128i largest_magnitude(const float* x, std::size_t n) {
  const __m256i no_sign = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i largest = _mm256_setzero_si256();
  for (std::size_t i = 0; i < n; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, no_sign));
  }
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b01'00'11'10));
  return _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b10'11'00'01));
}

float float_of(__m128i bits) { return _mm_cvtss_f32(_mm_castsi128_ps(bits)); }

// Codes of 16 values; returns their sum.
int quantize16(const float* x, __m256 inverse, std::int8_t* codes) {
  const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
  const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), inverse));
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0b11'01'10'00);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), bytes);
  const __m256i pairs = _mm256_madd_epi16(words, _mm256_set1_epi16(1));
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01'00'11'10));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 1)));
}

int shift_of(float part, float block) {
  return static_cast<int>(part * 2.0F <= block) + static_cast<int>(part * 4.0F <= block) +
         static_cast<int>(part * 8.0F <= block);
}
static_assert(kMaxShift == 3);

struct BlockScale {
  const float* values;  // that the codes are made of
  float scale;
  float inverse;
};

constexpr std::array<float, quant::kSuperBlock> kZeros{};

// Chooses the multipliers of a block's parts and the shifts that its codes are made with. A block that is not finite
// has the scale NaN, and zeros for values.
template <std::size_t kParts, std::size_t kPartSize>
BlockScale scale_block(const float* x, std::int32_t* part_shifts, std::array<int, kParts>& shifts) {
  std::array<float, kParts> magnitudes;
  __m128i largest_bits = _mm_setzero_si128();
  for (std::size_t p = 0; p < kParts; ++p) {
    const __m128i bits = largest_magnitude(x + p * kPartSize, kPartSize);
    magnitudes[p] = float_of(bits);
    largest_bits = _mm_max_epi32(largest_bits, bits);
  }
  const float largest = float_of(largest_bits);
  if (!(largest <= std::numeric_limits<float>::max())) [[unlikely]] {
    shifts.fill(0);
    std::fill_n(part_shifts, kParts, 0);
    return {kZeros.data(), kNaN, 0.0F};
  }
  int finest = 0;
  for (std::size_t p = 0; p < kParts; ++p) {
    shifts[p] = shift_of(magnitudes[p], largest);
    finest = std::max(finest, shifts[p]);
  }
  for (std::size_t p = 0; p < kParts; ++p) {
    part_shifts[p] = finest - shifts[p];
  }
  return {x, largest / 127.0F / static_cast<float>(1 << finest), largest >= kLeastMagnitude ? 127.0F / largest : 0.0F};
}

__m256 gelu_of(__m256 x) {
  using namespace kernels::exponential;
  const __m256 negated = _mm256_xor_ps(x, _mm256_set1_ps(-0.0F));
  const __m256 factor = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(kGeluCubic), _mm256_set1_ps(kGeluLinear));
  const __m256 power = avx2::exponential(_mm256_mul_ps(negated, factor));
  return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0F), power));
}

// Adds function(x) to 16 partial sums, whose upper half is `high`; what the last 16 lack counts as `rest`.
template <typename Function>
float sum_sixteens(const float* x, std::size_t n, float rest, const Function& add) {
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    low = add(low, _mm256_loadu_ps(x + i));
    high = add(high, _mm256_loadu_ps(x + i + 8));
  }
  if (i < n) {
    alignas(32) std::array<float, 16> last;
    last.fill(rest);
    std::copy(x + i, x + n, last.begin());
    low = add(low, _mm256_load_ps(last.data()));
    high = add(high, _mm256_load_ps(last.data() + 8));
  }
  return tree_sum(low, high);
}

// x = function(x), eight at a time; what the last eight lack counts as `rest`.
template <typename Function>
void for_eights(float* x, std::size_t n, float rest, const Function& function) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, function(_mm256_loadu_ps(x + i)));
  if (i == n) return;
  alignas(32) std::array<float, 8> last;
  last.fill(rest);
  std::copy(x + i, x + n, last.begin());
  _mm256_store_ps(last.data(), function(_mm256_load_ps(last.data())));
  std::copy_n(last.begin(), n - i, x + i);
}

// gate = product(gate, up)
template <typename Product>
void gate_multiply(float* gate, const float* up, std::size_t n, const Product& product) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(gate + i, product(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
  }
  if (i == n) return;
  alignas(32) std::array<float, 8> x{};
  alignas(32) std::array<float, 8> y{};
  std::copy(gate + i, gate + n, x.begin());
  std::copy(up + i, up + n, y.begin());
  _mm256_store_ps(x.data(), product(_mm256_load_ps(x.data()), _mm256_load_ps(y.data())));
  std::copy_n(x.begin(), n - i, gate + i);
}

}  // namespace

void rms_norm(const float* x, const float* weight, float epsilon, std::size_t n, float* out) {
  const float squares =
      sum_sixteens(x, n, 0.0F, [](__m256 sum, __m256 value) { return _mm256_fmadd_ps(value, value, sum); });
  const float mean = squares / static_cast<float>(n);
  const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + epsilon)));
  const float scale = mean <= std::numeric_limits<float>::max() ? 1.0F / root : kNaN;
  for (std::size_t j = 0; j < n; ++j) out[j] = (x[j] * scale) * weight[j];
}

void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, std::size_t n, float* out) {
  const auto add = [](__m256 sum, __m256 value) { return _mm256_add_ps(sum, value); };
  const float mean = sum_sixteens(x, n, 0.0F, add) / static_cast<float>(n);
  const float squares = sum_sixteens(x, n, mean, [all = _mm256_set1_ps(mean)](__m256 sum, __m256 value) {
    const __m256 distance = _mm256_sub_ps(value, all);
    return _mm256_fmadd_ps(distance, distance, sum);
  });
  const float variance = squares / static_cast<float>(n);
  const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + epsilon)));
  const float scale = variance <= std::numeric_limits<float>::max() ? 1.0F / root : kNaN;
  if (bias == nullptr) {
    for (std::size_t j = 0; j < n; ++j) out[j] = ((x[j] - mean) * scale) * weight[j];
  } else {
    for (std::size_t j = 0; j < n; ++j) out[j] = ((x[j] - mean) * scale) * weight[j] + bias[j];
  }
}

void quantize_blocks(const float* x, std::size_t n, const QuantizedRow& out) {
  constexpr std::size_t kParts = quant::kBlock / kBlockPart;
  for (std::size_t b = 0; b < n / quant::kBlock; ++b, x += quant::kBlock) {
    std::array<int, kParts> shifts;
    const BlockScale block = scale_block<kParts, kBlockPart>(x, out.shifts + b * kParts, shifts);
    int sum = 0;
    for (std::size_t p = 0; p < kParts; ++p) {
      const __m256 inverse = _mm256_set1_ps(block.inverse * static_cast<float>(1 << shifts[p]));
      sum += (1 << out.shifts[b * kParts + p]) *
             quantize16(block.values + p * kBlockPart, inverse, out.codes + b * quant::kBlock + p * kBlockPart);
    }
    out.scales[b] = block.scale;
    out.block_sums[b] = sum;
    out.scaled_sums[b] = block.scale * static_cast<float>(sum);
  }
}

void quantize_super_blocks(const float* x, std::size_t n, const QuantizedRow& out) {
  constexpr std::size_t kParts = quant::kSuperBlock / kSuperBlockPart;
  for (std::size_t b = 0; b < n / quant::kSuperBlock; ++b, x += quant::kSuperBlock) {
    std::array<int, kParts> shifts;
    const BlockScale block = scale_block<kParts, kSuperBlockPart>(x, out.shifts + b * kParts, shifts);
    out.scales[b] = block.scale;
    for (std::size_t p = 0; p < kParts; ++p) {
      const __m256 inverse = _mm256_set1_ps(block.inverse * static_cast<float>(1 << shifts[p]));
      const std::size_t part = b * kParts + p;
      int sum = 0;
      for (std::size_t half = 0; half < 2; ++half) {
        const std::size_t i = p * kSuperBlockPart + half * 16;
        const int codes = quantize16(block.values + i, inverse, out.codes + b * quant::kSuperBlock + i);
        out.half_sums[2 * part + half] = static_cast<std::int16_t>(codes * (1 << out.shifts[part]));
        sum += out.half_sums[2 * part + half];
      }
      out.part_sums[part] = static_cast<std::int16_t>(sum);
    }
  }
}

// The compiler vectorises what follows: every element is a computation of its own, with its fused operations written
// out.
void rotate(float* heads, std::size_t head_count, std::size_t head_dim, std::size_t dimensions, const float* cosines,
            const float* sines, RopeLayout layout) {
  const std::size_t pairs = dimensions / 2;
  const std::size_t stride = layout == RopeLayout::Adjacent ? 2 : 1;
  const std::size_t distance = layout == RopeLayout::Adjacent ? 1 : pairs;
  for (std::size_t h = 0; h < head_count; ++h) {
    float* head = heads + h * head_dim;
    for (std::size_t i = 0; i < pairs; ++i) {
      const float a = head[i * stride];
      const float b = head[i * stride + distance];
      head[i * stride] = __builtin_fmaf(a, cosines[i], -(b * sines[i]));
      head[i * stride + distance] = __builtin_fmaf(a, sines[i], b * cosines[i]);
    }
  }
}

void half_from_float(const float* x, std::size_t n, std::uint16_t* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), halves);
  }
  for (; i < n; ++i) out[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

void quantize_kv(const float* x, std::size_t n, std::int8_t* codes, std::uint16_t* scales) {
  for (std::size_t b = 0; b < n / kKvScaleChannels; ++b, x += kKvScaleChannels, codes += kKvScaleChannels) {
    const float largest = float_of(largest_magnitude(x, kKvScaleChannels));
    scales[b] = _cvtss_sh(largest / 127.0F, _MM_FROUND_TO_NEAREST_INT);
    const float scale = _cvtsh_ss(scales[b]);
    const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
    if (inverse == 0.0F) {
      std::fill_n(codes, kKvScaleChannels, std::int8_t{0});
      continue;
    }
    quantize16(x, _mm256_set1_ps(inverse), codes);
    quantize16(x + 16, _mm256_set1_ps(inverse), codes + 16);
  }
}

void silu_multiply(float* gate, const float* up, std::size_t n) {
  gate_multiply(gate, up, n, [](__m256 x, __m256 y) {
    const __m256 negated = _mm256_xor_ps(x, _mm256_set1_ps(-0.0F));
    return _mm256_mul_ps(_mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0F), exponential(negated))), y);
  });
}

void gelu_multiply(float* gate, const float* up, std::size_t n) {
  gate_multiply(gate, up, n, [](__m256 x, __m256 y) { return _mm256_mul_ps(gelu_of(x), y); });
}

void clamped_silu_multiply(float* gate, const float* up, std::size_t n) {
  using namespace kernels::exponential;
  gate_multiply(gate, up, n, [](__m256 x, __m256 y) {
    const __m256 clamp = _mm256_set1_ps(kSiluClamp);
    const __m256 below = _mm256_min_ps(clamp, x);
    const __m256 within = _mm256_max_ps(_mm256_set1_ps(-kSiluClamp), _mm256_min_ps(clamp, y));
    const __m256 power = avx2::exponential(_mm256_mul_ps(below, _mm256_set1_ps(-kClampedSiluSlope)));
    const __m256 activated = _mm256_div_ps(below, _mm256_add_ps(_mm256_set1_ps(1.0F), power));
    const __m256 product = _mm256_mul_ps(activated, _mm256_add_ps(within, _mm256_set1_ps(1.0F)));
    // 0 times what was clamped adds nothing, or NaN.
    return _mm256_fmadd_ps(x, _mm256_setzero_ps(), _mm256_fmadd_ps(y, _mm256_setzero_ps(), product));
  });
}

void gelu(float* x, std::size_t n) { for_eights(x, n, 0.0F, gelu_of); }

void squared_relu(float* x, std::size_t n) {
  for_eights(x, n, 0.0F, [](__m256 value) {
    const __m256 positive = _mm256_max_ps(value, _mm256_setzero_ps());
    return _mm256_fmadd_ps(value, _mm256_setzero_ps(), _mm256_mul_ps(positive, positive));
  });
}

void sigmoid(float* x, std::size_t n) {
  const __m256 one = _mm256_set1_ps(1.0F);
  for_eights(x, n, 0.0F, [&](__m256 value) {
    const __m256 power = exponential(_mm256_xor_ps(value, _mm256_set1_ps(-0.0F)));
    return _mm256_fmadd_ps(value, _mm256_setzero_ps(), _mm256_div_ps(one, _mm256_add_ps(one, power)));
  });
}

void soft_cap(float* x, std::size_t n, float cap) {
  const __m256 inverse = _mm256_set1_ps(2.0F / cap);
  for_eights(x, n, 0.0F, [&](__m256 value) {
    const __m256 power = exponential(_mm256_mul_ps(value, inverse));
    const __m256 quotient = _mm256_div_ps(_mm256_set1_ps(2.0F * cap), _mm256_add_ps(_mm256_set1_ps(1.0F), power));
    // 0 times the value adds nothing, or NaN.
    return _mm256_fmadd_ps(value, _mm256_setzero_ps(), _mm256_sub_ps(_mm256_set1_ps(cap), quotient));
  });
}

void softmax(float* x, std::size_t n) {
  if (quant::largest_magnitude({x, n}) > std::numeric_limits<float>::max()) {
    std::fill_n(x, n, kNaN);
    return;
  }
  const __m256 maximum = _mm256_set1_ps(*std::max_element(x, x + n));
  std::array<__m256, 2> lanes{_mm256_setzero_ps(), _mm256_setzero_ps()};
  std::size_t eights = 0;
  for_eights(x, n, -std::numeric_limits<float>::infinity(), [&](__m256 value) {
    const __m256 power = exponential(_mm256_sub_ps(value, maximum));
    __m256& half = lanes[eights++ % 2];
    half = _mm256_add_ps(half, power);
    return power;
  });
  const __m256 sum = _mm256_set1_ps(tree_sum(lanes[0], lanes[1]));
  for_eights(x, n, 0.0F, [&](__m256 value) { return _mm256_div_ps(value, sum); });
}

std::int32_t largest_key(const float* x, std::size_t n) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  const __m256i largest_finite = _mm256_set1_epi32(0x7F7FFFFF);
  __m256i largest = _mm256_set1_epi32(order_key(x[0]));
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i bits = _mm256_castps_si256(_mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_setzero_ps()));
    const __m256i key = _mm256_xor_si256(bits, _mm256_and_si256(_mm256_srai_epi32(bits, 31), magnitude));
    const __m256i non_finite = _mm256_cmpgt_epi32(_mm256_and_si256(bits, magnitude), largest_finite);
    largest = _mm256_max_epi32(largest, _mm256_blendv_epi8(key, _mm256_set1_epi32(kNonFiniteKey), non_finite));
  }
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b01'00'11'10));
  std::int32_t result = _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0b10'11'00'01)));
  for (; i < n; ++i) result = std::max(result, order_key(x[i]));
  return result;
}

}  // namespace engine::kernels::avx2
