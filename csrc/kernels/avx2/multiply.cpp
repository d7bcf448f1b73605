#include <immintrin.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/avx2/lanes.h"
#include "kernels/avx2/table.h"
#include "kernels/panel.h"
#include "quant/block.h"

// Rows of a group lie in the lanes of two registers (`half` 0 and 1). Codes of 32 inputs are unpacked into eight
// registers once and meet the codes of every token. Integer dot products are exact: see chain.
namespace engine::kernels::avx2 {
namespace {

using gguf::TensorType;

constexpr std::size_t kMaxTokens = 4;

using Codes = std::array<__m256i, 8>;  // 8 groups of 4 inputs, for 8 rows

__m256i load(const std::byte* source) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(source)); }

__m256i broadcast4(const std::int8_t* codes) {
  int word = 0;
  __builtin_memcpy(&word, codes, sizeof(word));
  return _mm256_set1_epi32(word);
}

// Eight groups from four lines of nibbles: the low ones first.
Codes unpack_nibbles(const std::byte* lines) {
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  Codes codes;
  for (std::size_t i = 0; i < 4; ++i) {
    const __m256i line = load(lines + i * kLineBytes);
    codes[i] = _mm256_and_si256(line, nibble);
    codes[i + 4] = _mm256_and_si256(_mm256_srli_epi16(line, 4), nibble);
  }
  return codes;
}

// Bit `bit` of every byte, moved to bit 4.
template <int kBit>
__m256i fifth_bit(__m256i line) {
  __m256i moved = line;
  if constexpr (kBit < 4) moved = _mm256_slli_epi16(line, 4 - kBit);
  if constexpr (kBit > 4) moved = _mm256_srli_epi16(line, kBit - 4);
  return _mm256_and_si256(moved, _mm256_set1_epi8(0x10));
}

template <std::size_t... kGroup>
void add_fifth_bits(Codes& codes, __m256i line, std::index_sequence<kGroup...>) {
  ((codes[kGroup] = _mm256_or_si256(codes[kGroup], fifth_bit<kGroup>(line))), ...);
}

// The codes of one block of a unit; those of Q8_0 are signed bytes again.
template <TensorType kType>
Codes unpack_block(const std::byte* unit, std::size_t index, std::size_t half) {
  using Unit = BlockUnit<kType>;
  const std::byte* codes_at = unit + Unit::kCodesAt + index * Unit::kBlockCodeBytes + half * 32;
  if constexpr (Unit::kByteCodes) {
    Codes codes;
    for (std::size_t g = 0; g < 8; ++g) {
      codes[g] = _mm256_xor_si256(load(codes_at + g * kLineBytes), _mm256_set1_epi8(-128));
    }
    return codes;
  } else {
    Codes codes = unpack_nibbles(codes_at);
    if constexpr (Unit::kFiveBits) {
      add_fifth_bits(codes, load(codes_at + Unit::kFifthBitsAt), std::make_index_sequence<8>());
    }
    return codes;
  }
}

// Sub-block kJ of Q4_K and Q5_K, 32 inputs.
template <TensorType kType, std::size_t kJ>
Codes unpack_sub_block(const std::byte* unit, std::size_t half) {
  using Unit = SuperBlockUnit<kType>;
  const std::byte* nibbles = unit + Unit::kNibblesAt + kJ / 2 * 8 * kLineBytes + half * 32;
  const std::byte* high = unit + Unit::kHighBitsAt + half * 32;
  Codes codes;
  for (std::size_t g = 0; g < 8; ++g) {
    __m256i line = load(nibbles + g * kLineBytes);
    if constexpr (kJ % 2 == 1) line = _mm256_srli_epi16(line, 4);
    codes[g] = _mm256_and_si256(line, _mm256_set1_epi8(0x0F));
    if constexpr (kType == TensorType::Q5_K) {
      codes[g] = _mm256_or_si256(codes[g], fifth_bit<kJ>(load(high + g * kLineBytes)));
    }
  }
  return codes;
}

// Inputs 32 kJ to 32 kJ + 31 of Q6_K: two sub-blocks of 16.
template <std::size_t kJ>
Codes unpack_q6_k(const std::byte* unit, std::size_t half) {
  using Unit = SuperBlockUnit<TensorType::Q6_K>;
  constexpr std::size_t kFirst = 8 * kJ;
  const std::byte* nibbles = unit + Unit::kNibblesAt + kFirst % 32 * kLineBytes + half * 32;
  const std::byte* high = unit + Unit::kHighBitsAt + kFirst % 16 * kLineBytes + half * 32;
  constexpr int kShift = static_cast<int>(kFirst / 16 * 2);  // of the two high bits in their byte
  Codes codes;
  for (std::size_t g = 0; g < 8; ++g) {
    __m256i line = load(nibbles + g * kLineBytes);
    if constexpr (kFirst >= 32) line = _mm256_srli_epi16(line, 4);
    __m256i bits = load(high + g * kLineBytes);
    if constexpr (kShift < 4) bits = _mm256_slli_epi16(bits, 4 - kShift);
    if constexpr (kShift > 4) bits = _mm256_srli_epi16(bits, kShift - 4);
    codes[g] =
        _mm256_or_si256(_mm256_and_si256(line, _mm256_set1_epi8(0x0F)), _mm256_and_si256(bits, _mm256_set1_epi8(0x30)));
  }
  return codes;
}

// How many vpmaddubsw results fit a signed 16-bit lane: codes up to 15 give 8 * 2 * 15 * 127 = 30480, up to 31 four
// times 7874, up to 63 twice 16002.
template <std::size_t kChain>
__m256i chain(const Codes& codes, std::size_t first, const std::int8_t* x) {
  __m256i sum = _mm256_maddubs_epi16(codes[first], broadcast4(x + 4 * first));
  for (std::size_t i = first + 1; i < first + kChain; ++i) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes[i], broadcast4(x + 4 * i)));
  }
  return sum;
}

// 16 inputs of signed codes: |w| * sign(x, w). A pair reaches at most 2 * 128 * 127 = 32512.
__m256i signed_dot16(const Codes& codes, std::size_t first, const std::int8_t* x, __m256i multiplier) {
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t i = first; i < first + 4; ++i) {
    const __m256i signed_x = _mm256_sign_epi8(broadcast4(x + 4 * i), codes[i]);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes[i]), signed_x);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, multiplier));
  }
  return sum;
}

// 32 inputs. Each part of 16 is widened to 32 bits by the very multiplication that applies its multiplier.
template <TensorType kType>
__m256i dot32(const Codes& codes, const std::int8_t* x, const std::int32_t* multipliers) {
  const __m256i first = _mm256_set1_epi32(multipliers[0]);
  const __m256i second = _mm256_set1_epi32(multipliers[1]);
  if constexpr (kType == TensorType::Q8_0) {
    return _mm256_add_epi32(signed_dot16(codes, 0, x, first), signed_dot16(codes, 4, x, second));
  } else {
    return _mm256_add_epi32(_mm256_madd_epi16(chain<4>(codes, 0, x), first),
                            _mm256_madd_epi16(chain<4>(codes, 4, x), second));
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

const std::uint16_t* halves_at(const std::byte* source) { return reinterpret_cast<const std::uint16_t*>(source); }

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_blocks(const std::byte* group, const Activations& input, std::size_t first_token) {
  using Unit = BlockUnit<kType>;
  // The codes of Q8_0 have been made signed again.
  constexpr int kOffset = Unit::kByteCodes ? 0 : Unit::kOffset;
  const std::size_t blocks = input.columns / quant::kBlock;
  Accumulators<kTokens> products{};
  Accumulators<kTokens> minimums{};
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::byte* unit = group + b / 2 * Unit::kBytes;
    const std::size_t halves = b % 2 * kGroupRows * sizeof(std::uint16_t);
    for (std::size_t half = 0; half < 2; ++half) {
      const Codes codes = unpack_block<kType>(unit, b % 2, half);
      const __m256 scale = load_halves(halves_at(unit + halves) + 8 * half);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const std::size_t at = (first_token + t) * blocks + b;
        __m256i sum = dot32<kType>(codes, input.codes + at * quant::kBlock, input.multipliers + at * 2);
        if constexpr (kOffset != 0) sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(kOffset * input.sums[at]));
        const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(input.scales[at]));
        products[half][t] = _mm256_fmadd_ps(both, _mm256_cvtepi32_ps(sum), products[half][t]);
        if constexpr (Unit::kMinimum) {
          const __m256 minimum = load_halves(halves_at(unit + Unit::kMinimumAt + halves) + 8 * half);
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

__m128i load8(const std::byte* source) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)); }

// Two numbers in the 16-bit parts of each lane.
__m256i pair16(__m256i low, __m256i high) {
  return _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(0xFFFF)), _mm256_slli_epi32(high, 16));
}

__m256i broadcast_pair(const std::int16_t* values) {
  int word = 0;
  __builtin_memcpy(&word, values, sizeof(word));
  return _mm256_set1_epi32(word);
}

// Sums of scale * code * x and of minimum * x (Q6_K: of scale * x) over the super-block so far, for each token.
template <std::size_t kTokens>
struct IntegerSums {
  std::array<__m256i, kTokens> products{};
  std::array<__m256i, kTokens> minimums{};
};

// What one super-block needs to know of one token.
struct TokenBlock {
  const std::int8_t* codes;
  const std::int32_t* multipliers;
  const std::int16_t* sums;  // per 16
};

TokenBlock token_block(const Activations& input, std::size_t at) {
  return {input.codes + at * quant::kSuperBlock, input.multipliers + at * (quant::kSuperBlock / kSuperBlockPart),
          input.sums + at * 16};
}

template <TensorType kType, std::size_t kJ, std::size_t kTokens>
void add_sub_block(const std::byte* unit, std::size_t half, const std::array<TokenBlock, kTokens>& tokens,
                   IntegerSums<kTokens>& sums) {
  using Unit = SuperBlockUnit<kType>;
  constexpr std::size_t kChain = kType == TensorType::Q4_K ? 8 : 4;
  const Codes codes = unpack_sub_block<kType, kJ>(unit, half);
  const std::size_t lanes = kJ * kGroupRows + 8 * half;
  const __m256i scale = _mm256_cvtepu8_epi32(load8(unit + Unit::kScalesAt + lanes));
  const __m256i minimum = _mm256_cvtepu8_epi32(load8(unit + Unit::kMinimumsAt + lanes));
  const __m256i scale_pair = pair16(scale, scale);
  const __m256i minimum_pair = pair16(minimum, minimum);
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int8_t* x = tokens[t].codes + 32 * kJ;
    const __m256i factor = _mm256_mullo_epi16(scale_pair, _mm256_set1_epi32(tokens[t].multipliers[kJ]));
    for (std::size_t i = 0; i < 8; i += kChain) {
      const __m256i part = _mm256_madd_epi16(chain<kChain>(codes, i, x), factor);
      sums.products[t] = _mm256_add_epi32(sums.products[t], part);
    }
    const __m256i part = _mm256_madd_epi16(minimum_pair, broadcast_pair(tokens[t].sums + 2 * kJ));
    sums.minimums[t] = _mm256_add_epi32(sums.minimums[t], part);
  }
}

template <std::size_t kJ, std::size_t kTokens>
void add_q6_k(const std::byte* unit, std::size_t half, const std::array<TokenBlock, kTokens>& tokens,
              IntegerSums<kTokens>& sums) {
  using Unit = SuperBlockUnit<TensorType::Q6_K>;
  const Codes codes = unpack_q6_k<kJ>(unit, half);
  const std::byte* scales = unit + Unit::kScalesAt + 2 * kJ * kGroupRows + 8 * half;
  const __m256i first = _mm256_cvtepi8_epi32(load8(scales));
  const __m256i second = _mm256_cvtepi8_epi32(load8(scales + kGroupRows));
  const __m256i first_pair = pair16(first, first);
  const __m256i second_pair = pair16(second, second);
  const __m256i both = pair16(first, second);
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int8_t* x = tokens[t].codes + 32 * kJ;
    const __m256i multiplier = _mm256_set1_epi32(tokens[t].multipliers[kJ]);
    const __m256i first_factor = _mm256_mullo_epi16(first_pair, multiplier);
    const __m256i second_factor = _mm256_mullo_epi16(second_pair, multiplier);
    for (std::size_t i = 0; i < 8; i += 2) {
      const __m256i part = _mm256_madd_epi16(chain<2>(codes, i, x), i < 4 ? first_factor : second_factor);
      sums.products[t] = _mm256_add_epi32(sums.products[t], part);
    }
    const __m256i part = _mm256_madd_epi16(both, broadcast_pair(tokens[t].sums + 2 * kJ));
    sums.minimums[t] = _mm256_add_epi32(sums.minimums[t], part);
  }
}

template <TensorType kType, std::size_t kTokens, std::size_t... kJ>
IntegerSums<kTokens> dot256(const std::byte* unit, std::size_t half, const std::array<TokenBlock, kTokens>& tokens,
                            std::index_sequence<kJ...>) {
  IntegerSums<kTokens> sums;
  if constexpr (kType == TensorType::Q6_K) {
    (add_q6_k<kJ>(unit, half, tokens, sums), ...);
    for (std::size_t t = 0; t < kTokens; ++t) {  // the offset of a code is 32
      sums.products[t] = _mm256_sub_epi32(sums.products[t], _mm256_slli_epi32(sums.minimums[t], 5));
      sums.minimums[t] = _mm256_setzero_si256();
    }
  } else {
    (add_sub_block<kType, kJ>(unit, half, tokens, sums), ...);
  }
  return sums;
}

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_super_blocks(const std::byte* group, const Activations& input, std::size_t first_token) {
  using Unit = SuperBlockUnit<kType>;
  const std::size_t blocks = input.columns / quant::kSuperBlock;
  Accumulators<kTokens> products{};
  Accumulators<kTokens> minimums{};
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::byte* unit = group + b * Unit::kBytes;
    std::array<TokenBlock, kTokens> tokens;
    for (std::size_t t = 0; t < kTokens; ++t) tokens[t] = token_block(input, (first_token + t) * blocks + b);
    for (std::size_t half = 0; half < 2; ++half) {
      const auto sums = dot256<kType>(unit, half, tokens, std::make_index_sequence<8>());
      const __m256 scale = load_halves(halves_at(unit) + 8 * half);
      const __m256 minimum = load_halves(halves_at(unit + Unit::kMinimumAt) + 8 * half);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const __m256 input_scale = _mm256_set1_ps(input.scales[(first_token + t) * blocks + b]);
        products[half][t] =
            _mm256_fmadd_ps(_mm256_mul_ps(scale, input_scale), _mm256_cvtepi32_ps(sums.products[t]), products[half][t]);
        minimums[half][t] = _mm256_fmadd_ps(_mm256_mul_ps(minimum, input_scale), _mm256_cvtepi32_ps(sums.minimums[t]),
                                            minimums[half][t]);
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
  if constexpr (is_float_type(kType)) {
    return multiply_floats<kType, kTokens>(group, input, first_token);
  } else if constexpr (is_k_type(kType)) {
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
  with_type(matrix.type, [&]<TensorType kType>() {
    multiply_groups<kType>(matrix, input, token_rows, group_begin, group_end, out, out_stride);
  });
}

}  // namespace engine::kernels::avx2
