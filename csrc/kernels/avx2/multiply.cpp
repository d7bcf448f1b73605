#include <immintrin.h>

#include <algorithm>
#include <array>

#include "kernels/avx2/lanes.h"
#include "kernels/avx2/table.h"
#include "kernels/panel.h"
#include "quant/block.h"

// Rows of a group lie in the lanes of two registers (`half` 0 and 1). Integer dot products are exact: the 16-bit
// intermediate of vpmaddubsw holds as many additions as the widest code allows (see Chain).
namespace engine::kernels::avx2 {
namespace {

using gguf::TensorType;

constexpr std::size_t kMaxTokens = 4;  // with two halves of 8 rows: 8 accumulators, leaving registers for a line

__m256i load(const void* source) { return _mm256_loadu_si256(static_cast<const __m256i*>(source)); }

__m256i broadcast4(const std::int8_t* codes) {
  int word = 0;
  __builtin_memcpy(&word, codes, sizeof(word));
  return _mm256_set1_epi32(word);
}

// How many vpmaddubsw results fit a signed 16-bit lane: codes up to 15 give 8 * 2 * 15 * 127 = 30480, up to 31 four
// times 7874, up to 63 twice 16002.
template <int kChain>
__m256i chain(const Line* lines, std::size_t half, const std::int8_t* x) {
  __m256i sum = _mm256_maddubs_epi16(load(lines[0][8 * half]), broadcast4(x));
  for (int i = 1; i < kChain; ++i) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(load(lines[i][8 * half]), broadcast4(x + 4 * i)));
  }
  return sum;
}

// 16 inputs of signed codes: |w| * sign(x, w). A pair reaches at most 2 * 128 * 127 = 32512.
__m256i signed_dot16(const Line* lines, std::size_t half, const std::int8_t* x, __m256i multiplier) {
  __m256i sum = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    const __m256i w = load(lines[i][8 * half]);
    const __m256i signed_x = _mm256_sign_epi8(broadcast4(x + 4 * i), w);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), signed_x), multiplier));
  }
  return sum;
}

// 32 inputs. Each part of 16 is widened to 32 bits by the very multiplication that applies its multiplier.
template <TensorType kType>
__m256i dot32(const Line* lines, std::size_t half, const std::int8_t* x, const std::int32_t* multipliers) {
  const __m256i first = _mm256_set1_epi32(multipliers[0]);
  const __m256i second = _mm256_set1_epi32(multipliers[1]);
  if constexpr (kType == TensorType::Q8_0) {
    return _mm256_add_epi32(signed_dot16(lines, half, x, first), signed_dot16(lines + 4, half, x + 16, second));
  } else {
    return _mm256_add_epi32(_mm256_madd_epi16(chain<4>(lines, half, x), first),
                            _mm256_madd_epi16(chain<4>(lines + 4, half, x + 16), second));
  }
}

template <std::size_t kTokens>
using Accumulators = std::array<std::array<__m256, kTokens>, 2>;

// Writes the first `rows` lanes of a group.
template <std::size_t kTokens>
void store(const Accumulators<kTokens>& sums, std::size_t rows, float* out, std::size_t out_stride) {
  for (std::size_t t = 0; t < kTokens; ++t, out += out_stride) {
    if (rows == kGroupRows) {
      _mm256_storeu_ps(out, sums[0][t]);
      _mm256_storeu_ps(out + 8, sums[1][t]);
      continue;
    }
    alignas(32) std::array<float, kGroupRows> lanes;
    _mm256_store_ps(lanes.data(), sums[0][t]);
    _mm256_store_ps(lanes.data() + 8, sums[1][t]);
    std::copy_n(lanes.begin(), rows, out);
  }
}

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_blocks(const std::byte* group, const Activations& input, std::size_t first_token) {
  constexpr int kOffset = kType == TensorType::Q4_0 ? 8 : kType == TensorType::Q5_0 ? 16 : 0;
  constexpr bool kMinimum = kType == TensorType::Q4_1 || kType == TensorType::Q5_1;
  const std::size_t blocks = input.columns / quant::kBlock;
  const auto* panel = reinterpret_cast<const BlockPanel*>(group);
  Accumulators<kTokens> products{};
  Accumulators<kTokens> minimums{};
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t half = 0; half < 2; ++half) {
      const __m256 scale = load_halves(panel[b].scale + 8 * half);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const std::size_t at = (first_token + t) * blocks + b;
        __m256i sum = dot32<kType>(panel[b].codes, half, input.codes + at * quant::kBlock, input.multipliers + at * 2);
        if constexpr (kOffset != 0) sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(kOffset * input.sums[at]));
        const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(input.scales[at]));
        products[half][t] = _mm256_fmadd_ps(both, _mm256_cvtepi32_ps(sum), products[half][t]);
        if constexpr (kMinimum) {
          const __m256 minimum = load_halves(panel[b].minimum + 8 * half);
          minimums[half][t] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(input.scaled_sums[at]), minimums[half][t]);
        }
      }
    }
  }
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t t = 0; t < kTokens; ++t) {
      products[half][t] = _mm256_add_ps(products[half][t], minimums[half][t]);
    }
  }
  return products;
}

// Both 16-bit parts of each lane.
__m256i replicate16(__m256i lanes) {
  return _mm256_or_si256(_mm256_and_si256(lanes, _mm256_set1_epi32(0xFFFF)), _mm256_slli_epi32(lanes, 16));
}

__m128i load8(const void* source) { return _mm_loadl_epi64(static_cast<const __m128i*>(source)); }

struct IntegerSums {
  __m256i products;
  __m256i minimums;
};

// One super-block of one half for one token: sum of scale * code * x, and of minimum * x.
template <TensorType kType>
IntegerSums dot256(const SuperBlockPanel& panel, std::size_t half, const std::int8_t* x,
                   const std::int32_t* multipliers, const std::int16_t* sums16) {
  constexpr int kChain = kType == TensorType::Q4_K ? 8 : 4;
  IntegerSums sum{_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (std::size_t j = 0; j < 8; ++j) {
    const __m256i lanes = replicate16(_mm256_cvtepu8_epi32(load8(panel.scales32[j] + 8 * half)));
    const __m256i scale = _mm256_mullo_epi16(lanes, _mm256_set1_epi32(multipliers[j]));
    for (std::size_t i = 0; i < 8; i += kChain) {
      const __m256i part = chain<kChain>(panel.codes + 8 * j + i, half, x + 32 * j + 4 * i);
      sum.products = _mm256_add_epi32(sum.products, _mm256_madd_epi16(part, scale));
    }
    const __m256i minimum = _mm256_cvtepu8_epi32(load8(panel.minimums32[j] + 8 * half));
    const __m256i total = _mm256_set1_epi32(sums16[2 * j] + sums16[2 * j + 1]);
    sum.minimums = _mm256_add_epi32(sum.minimums, _mm256_mullo_epi32(minimum, total));
  }
  return sum;
}

template <>
IntegerSums dot256<TensorType::Q6_K>(const SuperBlockPanel& panel, std::size_t half, const std::int8_t* x,
                                     const std::int32_t* multipliers, const std::int16_t* sums16) {
  IntegerSums sum{_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i offsets = _mm256_setzero_si256();
  for (std::size_t j = 0; j < 16; ++j) {
    const __m256i lanes = _mm256_cvtepi8_epi32(load8(panel.scales16[j] + 8 * half));
    const __m256i scale = _mm256_mullo_epi16(replicate16(lanes), _mm256_set1_epi32(multipliers[j / 2]));
    for (std::size_t i = 0; i < 4; i += 2) {
      const __m256i part = chain<2>(panel.codes + 4 * j + i, half, x + 16 * j + 4 * i);
      sum.products = _mm256_add_epi32(sum.products, _mm256_madd_epi16(part, scale));
    }
    offsets = _mm256_add_epi32(offsets, _mm256_mullo_epi32(lanes, _mm256_set1_epi32(sums16[j])));
  }
  sum.products = _mm256_sub_epi32(sum.products, _mm256_slli_epi32(offsets, 5));  // the offset of a code is 32
  return sum;
}

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_super_blocks(const std::byte* group, const Activations& input, std::size_t first_token) {
  const std::size_t blocks = input.columns / quant::kSuperBlock;
  const auto* panel = reinterpret_cast<const SuperBlockPanel*>(group);
  Accumulators<kTokens> products{};
  Accumulators<kTokens> minimums{};
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t half = 0; half < 2; ++half) {
      const __m256 scale = load_halves(panel[b].scale + 8 * half);
      const __m256 minimum = load_halves(panel[b].minimum + 8 * half);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const std::size_t at = (first_token + t) * blocks + b;
        const IntegerSums sum =
            dot256<kType>(panel[b], half, input.codes + at * quant::kSuperBlock,
                          input.multipliers + at * (quant::kSuperBlock / kSuperBlockPart), input.sums + at * 16);
        const __m256 input_scale = _mm256_set1_ps(input.scales[at]);
        products[half][t] =
            _mm256_fmadd_ps(_mm256_mul_ps(scale, input_scale), _mm256_cvtepi32_ps(sum.products), products[half][t]);
        minimums[half][t] =
            _mm256_fmadd_ps(_mm256_mul_ps(minimum, input_scale), _mm256_cvtepi32_ps(sum.minimums), minimums[half][t]);
      }
    }
  }
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t t = 0; t < kTokens; ++t) {
      products[half][t] = _mm256_sub_ps(products[half][t], minimums[half][t]);
    }
  }
  return products;
}

template <TensorType kType>
__m256 load_weights(const std::byte* source) {
  if constexpr (kType == TensorType::F32) return _mm256_loadu_ps(reinterpret_cast<const float*>(source));
  if constexpr (kType == TensorType::F16) return load_halves(reinterpret_cast<const std::uint16_t*>(source));
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_floats(const std::byte* group, const Activations& input, std::size_t first_token) {
  constexpr std::size_t kHalfBytes = (kType == TensorType::F32 ? 4 : 2) * kGroupRows / 2;
  Accumulators<kTokens> sums{};
  const float* x = input.values + first_token * input.columns;
  for (std::size_t k = 0; k < input.columns; ++k, group += 2 * kHalfBytes) {
    const __m256 low = load_weights<kType>(group);
    const __m256 high = load_weights<kType>(group + kHalfBytes);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const __m256 value = _mm256_set1_ps(x[t * input.columns + k]);
      sums[0][t] = _mm256_fmadd_ps(low, value, sums[0][t]);
      sums[1][t] = _mm256_fmadd_ps(high, value, sums[1][t]);
    }
  }
  return sums;
}

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_group(const std::byte* group, const Activations& input, std::size_t first_token) {
  if constexpr (kType == TensorType::F32 || kType == TensorType::F16 || kType == TensorType::BF16) {
    return multiply_floats<kType, kTokens>(group, input, first_token);
  } else if constexpr (kType == TensorType::Q4_K || kType == TensorType::Q5_K || kType == TensorType::Q6_K) {
    return multiply_super_blocks<kType, kTokens>(group, input, first_token);
  } else {
    return multiply_blocks<kType, kTokens>(group, input, first_token);
  }
}

template <TensorType kType>
void multiply_groups(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
                     std::size_t group_end, float* out, std::size_t out_stride) {
  const std::size_t group_bytes = matrix.packed.size() / matrix.groups();
  for (std::size_t g = group_begin; g < group_end; ++g) {
    const std::byte* group = matrix.packed.data() + g * group_bytes;
    const std::size_t rows = std::min(kGroupRows, matrix.rows - g * kGroupRows);
    float* target = out + g * kGroupRows;
    std::size_t t = 0;
    for (; t + kMaxTokens <= token_rows; t += kMaxTokens) {
      store(multiply_group<kType, kMaxTokens>(group, input, t), rows, target + t * out_stride, out_stride);
    }
    for (; t < token_rows; ++t) {
      store(multiply_group<kType, 1>(group, input, t), rows, target + t * out_stride, out_stride);
    }
  }
}

}  // namespace

std::size_t packed_bytes(const Matrix& matrix) { return panel_bytes(matrix); }

void pack(Matrix& matrix, std::size_t group_begin, std::size_t group_end) {
  pack_panels(matrix, group_begin, group_end);
}

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride) {
  const auto run = [&]<TensorType kType>() {
    multiply_groups<kType>(matrix, input, token_rows, group_begin, group_end, out, out_stride);
  };
  switch (matrix.type) {
    case TensorType::F32:
      return run.operator()<TensorType::F32>();
    case TensorType::F16:
      return run.operator()<TensorType::F16>();
    case TensorType::BF16:
      return run.operator()<TensorType::BF16>();
    case TensorType::Q4_0:
      return run.operator()<TensorType::Q4_0>();
    case TensorType::Q4_1:
      return run.operator()<TensorType::Q4_1>();
    case TensorType::Q5_0:
      return run.operator()<TensorType::Q5_0>();
    case TensorType::Q5_1:
      return run.operator()<TensorType::Q5_1>();
    case TensorType::Q8_0:
      return run.operator()<TensorType::Q8_0>();
    case TensorType::Q4_K:
      return run.operator()<TensorType::Q4_K>();
    case TensorType::Q5_K:
      return run.operator()<TensorType::Q5_K>();
    case TensorType::Q6_K:
      return run.operator()<TensorType::Q6_K>();
  }
}

}  // namespace engine::kernels::avx2
