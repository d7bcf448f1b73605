#include <immintrin.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/avx512/table.h"
#include "kernels/panel.h"
#include "quant/block.h"

// The 16 rows of a group are the lanes of one register. Codes of 32 inputs are unpacked into eight registers once and
// meet the codes of every token; vpdpbusd adds four products to a 32-bit lane, so every integer sum is exact.
namespace engine::kernels::avx512 {
namespace {

using gguf::TensorType;

// Accumulators of products and of minimums, eight registers of codes and a few more fit the 32 registers.
constexpr std::size_t kMaxTokens = 8;

using Codes = std::array<__m512i, 8>;  // 8 groups of 4 inputs, for 16 rows

__m512i load(const std::byte* source) { return _mm512_load_si512(source); }

template <typename T>
__m512i broadcast4(const T* source) {
  int word = 0;
  __builtin_memcpy(&word, source, sizeof(word));
  return _mm512_set1_epi32(word);
}

__m512 load_halves(const std::byte* source) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(source)));
}

// Bit `bit` of every byte, moved to bit 4.
template <int kBit>
__m512i fifth_bit(__m512i line) {
  __m512i moved = line;
  if constexpr (kBit < 4) moved = _mm512_slli_epi16(line, 4 - kBit);
  if constexpr (kBit > 4) moved = _mm512_srli_epi16(line, kBit - 4);
  return _mm512_and_si512(moved, _mm512_set1_epi8(0x10));
}

template <std::size_t... kGroup>
void add_fifth_bits(Codes& codes, __m512i line, std::index_sequence<kGroup...>) {
  ((codes[kGroup] = _mm512_or_si512(codes[kGroup], fifth_bit<kGroup>(line))), ...);
}

// The codes of one block of a unit, all unsigned.
template <TensorType kType>
Codes unpack_block(const std::byte* codes_at) {
  using Unit = BlockUnit<kType>;
  Codes codes;
  if constexpr (Unit::kByteCodes) {
    for (std::size_t g = 0; g < 8; ++g) codes[g] = load(codes_at + g * kLineBytes);
  } else {
    for (std::size_t i = 0; i < 4; ++i) {
      const __m512i line = load(codes_at + i * kLineBytes);
      codes[i] = _mm512_and_si512(line, _mm512_set1_epi8(0x0F));
      codes[i + 4] = _mm512_and_si512(_mm512_srli_epi16(line, 4), _mm512_set1_epi8(0x0F));
    }
    if constexpr (Unit::kFiveBits) {
      add_fifth_bits(codes, load(codes_at + Unit::kFifthBitsAt), std::make_index_sequence<8>());
    }
  }
  return codes;
}

// Sub-block kJ of Q4_K and Q5_K, 32 inputs.
template <TensorType kType, std::size_t kJ>
Codes unpack_sub_block(const std::byte* unit) {
  using Unit = SuperBlockUnit<kType>;
  Codes codes;
  for (std::size_t g = 0; g < 8; ++g) {
    __m512i line = load(unit + Unit::kNibblesAt + (kJ / 2 * 8 + g) * kLineBytes);
    if constexpr (kJ % 2 == 1) line = _mm512_srli_epi16(line, 4);
    codes[g] = _mm512_and_si512(line, _mm512_set1_epi8(0x0F));
    if constexpr (kType == TensorType::Q5_K) {
      codes[g] = _mm512_or_si512(codes[g], fifth_bit<kJ>(load(unit + Unit::kHighBitsAt + g * kLineBytes)));
    }
  }
  return codes;
}

// Inputs 32 kJ to 32 kJ + 31 of Q6_K: two sub-blocks of 16.
template <std::size_t kJ>
Codes unpack_q6_k(const std::byte* unit) {
  using Unit = SuperBlockUnit<TensorType::Q6_K>;
  constexpr std::size_t kFirst = 8 * kJ;
  constexpr int kShift = static_cast<int>(kFirst / 16 * 2);  // of the two high bits in their byte
  Codes codes;
  for (std::size_t g = 0; g < 8; ++g) {
    __m512i line = load(unit + Unit::kNibblesAt + (kFirst % 32 + g) * kLineBytes);
    if constexpr (kFirst >= 32) line = _mm512_srli_epi16(line, 4);
    __m512i bits = load(unit + Unit::kHighBitsAt + (kFirst % 16 + g) * kLineBytes);
    if constexpr (kShift < 4) bits = _mm512_slli_epi16(bits, 4 - kShift);
    if constexpr (kShift > 4) bits = _mm512_srli_epi16(bits, kShift - 4);
    codes[g] =
        _mm512_or_si512(_mm512_and_si512(line, _mm512_set1_epi8(0x0F)), _mm512_and_si512(bits, _mm512_set1_epi8(0x30)));
  }
  return codes;
}

// 16 inputs, from group `first` on.
__m512i dot16(const Codes& codes, std::size_t first, const std::int8_t* x) {
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t i = first; i < first + 4; ++i) sum = _mm512_dpbusd_epi32(sum, codes[i], broadcast4(x + 4 * i));
  return sum;
}

template <std::size_t kTokens>
using Accumulators = std::array<__m512, kTokens>;

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_blocks(const std::byte* group, const Activations& input, std::size_t first_token) {
  using Unit = BlockUnit<kType>;
  const std::size_t blocks = input.columns / quant::kBlock;
  Accumulators<kTokens> products{};
  Accumulators<kTokens> minimums{};
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::byte* unit = group + b / 2 * Unit::kBytes;
    const std::size_t halves = b % 2 * kGroupRows * sizeof(std::uint16_t);
    const Codes codes = unpack_block<kType>(unit + Unit::kCodesAt + b % 2 * Unit::kBlockCodeBytes);
    const __m512 scale = load_halves(unit + halves);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const std::size_t at = (first_token + t) * blocks + b;
      const std::int8_t* x = input.codes + at * quant::kBlock;
      const std::int32_t* shifts = input.shifts + at * 2;
      __m512i sum = _mm512_add_epi32(_mm512_sllv_epi32(dot16(codes, 0, x), _mm512_set1_epi32(shifts[0])),
                                     _mm512_sllv_epi32(dot16(codes, 4, x), _mm512_set1_epi32(shifts[1])));
      if constexpr (Unit::kOffset != 0) {
        sum = _mm512_sub_epi32(sum, _mm512_set1_epi32(Unit::kOffset * input.sums[at]));
      }
      const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(input.scales[at]));
      products[t] = _mm512_fmadd_ps(both, _mm512_cvtepi32_ps(sum), products[t]);
      if constexpr (Unit::kMinimum) {
        const __m512 minimum = load_halves(unit + Unit::kMinimumAt + halves);
        minimums[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(input.scaled_sums[at]), minimums[t]);
      }
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) products[t] = _mm512_add_ps(products[t], minimums[t]);
  return products;
}

// Sums of scale * code * x and of minimum * x (Q6_K: of scale * x) over the super-block so far, for each token.
template <std::size_t kTokens>
struct IntegerSums {
  std::array<__m512i, kTokens> products{};
  std::array<__m512i, kTokens> minimums{};
};

// What one super-block needs to know of one token.
struct TokenBlock {
  const std::int8_t* codes;
  const std::int32_t* shifts;
  const std::int16_t* sums;  // per 16
};

TokenBlock token_block(const Activations& input, std::size_t at) {
  return {input.codes + at * quant::kSuperBlock, input.shifts + at * (quant::kSuperBlock / kSuperBlockPart),
          input.sums + at * 16};
}

__m128i load16(const std::byte* source) { return _mm_load_si128(reinterpret_cast<const __m128i*>(source)); }

// Two numbers in the 16-bit parts of each lane.
__m512i pair16(__m512i low, __m512i high) {
  return _mm512_mask_blend_epi16(0xAAAAAAAA, low, _mm512_slli_epi32(high, 16));
}

template <TensorType kType, std::size_t kJ, std::size_t kTokens>
void add_sub_block(const std::byte* unit, const std::array<TokenBlock, kTokens>& tokens, IntegerSums<kTokens>& sums) {
  using Unit = SuperBlockUnit<kType>;
  const Codes codes = unpack_sub_block<kType, kJ>(unit);
  const __m512i scale = _mm512_cvtepu8_epi32(load16(unit + Unit::kScalesAt + kJ * kGroupRows));
  const __m512i minimum = _mm512_cvtepu8_epi32(load16(unit + Unit::kMinimumsAt + kJ * kGroupRows));
  const __m512i minimum_pair = pair16(minimum, minimum);
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int8_t* x = tokens[t].codes + 32 * kJ;
    const __m512i factor = _mm512_sllv_epi32(scale, _mm512_set1_epi32(tokens[t].shifts[kJ]));
    const __m512i dot = _mm512_add_epi32(dot16(codes, 0, x), dot16(codes, 4, x));
    sums.products[t] = _mm512_add_epi32(sums.products[t], _mm512_mullo_epi32(dot, factor));
    sums.minimums[t] = _mm512_dpwssd_epi32(sums.minimums[t], minimum_pair, broadcast4(tokens[t].sums + 2 * kJ));
  }
}

template <std::size_t kJ, std::size_t kTokens>
void add_q6_k(const std::byte* unit, const std::array<TokenBlock, kTokens>& tokens, IntegerSums<kTokens>& sums) {
  using Unit = SuperBlockUnit<TensorType::Q6_K>;
  const Codes codes = unpack_q6_k<kJ>(unit);
  const std::byte* scales = unit + Unit::kScalesAt + 2 * kJ * kGroupRows;
  const __m512i first = _mm512_cvtepi8_epi32(load16(scales));
  const __m512i second = _mm512_cvtepi8_epi32(load16(scales + kGroupRows));
  const __m512i both = pair16(first, second);
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int8_t* x = tokens[t].codes + 32 * kJ;
    const __m512i part =
        _mm512_add_epi32(_mm512_mullo_epi32(dot16(codes, 0, x), first), _mm512_mullo_epi32(dot16(codes, 4, x), second));
    const __m512i scaled = _mm512_sllv_epi32(part, _mm512_set1_epi32(tokens[t].shifts[kJ]));
    sums.products[t] = _mm512_add_epi32(sums.products[t], scaled);
    sums.minimums[t] = _mm512_dpwssd_epi32(sums.minimums[t], both, broadcast4(tokens[t].sums + 2 * kJ));
  }
}

template <TensorType kType, std::size_t kTokens, std::size_t... kJ>
IntegerSums<kTokens> dot256(const std::byte* unit, const std::array<TokenBlock, kTokens>& tokens,
                            std::index_sequence<kJ...>) {
  IntegerSums<kTokens> sums;
  if constexpr (kType == TensorType::Q6_K) {
    (add_q6_k<kJ>(unit, tokens, sums), ...);
    for (std::size_t t = 0; t < kTokens; ++t) {  // the offset of a code is 32
      sums.products[t] = _mm512_sub_epi32(sums.products[t], _mm512_slli_epi32(sums.minimums[t], 5));
      sums.minimums[t] = _mm512_setzero_si512();
    }
  } else {
    (add_sub_block<kType, kJ>(unit, tokens, sums), ...);
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
    const auto sums = dot256<kType>(unit, tokens, std::make_index_sequence<8>());
    const __m512 scale = load_halves(unit);
    const __m512 minimum = load_halves(unit + Unit::kMinimumAt);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const __m512 input_scale = _mm512_set1_ps(input.scales[(first_token + t) * blocks + b]);
      products[t] =
          _mm512_fmadd_ps(_mm512_mul_ps(scale, input_scale), _mm512_cvtepi32_ps(sums.products[t]), products[t]);
      minimums[t] =
          _mm512_fmadd_ps(_mm512_mul_ps(minimum, input_scale), _mm512_cvtepi32_ps(sums.minimums[t]), minimums[t]);
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) products[t] = _mm512_sub_ps(products[t], minimums[t]);
  return products;
}

template <TensorType kType>
__m512 load_weights(const std::byte* source) {
  if constexpr (kType == TensorType::F32) return _mm512_load_ps(source);
  if constexpr (kType == TensorType::F16) return load_halves(source);
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(source)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

template <TensorType kType, std::size_t kTokens>
Accumulators<kTokens> multiply_floats(const std::byte* group, const Activations& input, std::size_t first_token) {
  constexpr std::size_t kBytes = (kType == TensorType::F32 ? 4 : 2) * kGroupRows;
  Accumulators<kTokens> sums{};
  const float* x = input.values + first_token * input.columns;
  for (std::size_t k = 0; k < input.columns; ++k, group += kBytes) {
    const __m512 weights = load_weights<kType>(group);
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t] = _mm512_fmadd_ps(weights, _mm512_set1_ps(x[t * input.columns + k]), sums[t]);
    }
  }
  return sums;
}

template <TensorType kType, std::size_t kTokens>
void multiply_group(const std::byte* group, const Activations& input, std::size_t first_token, std::size_t rows,
                    float* out, std::size_t out_stride) {
  Accumulators<kTokens> sums;
  if constexpr (is_float_type(kType)) {
    sums = multiply_floats<kType, kTokens>(group, input, first_token);
  } else if constexpr (is_k_type(kType)) {
    sums = multiply_super_blocks<kType, kTokens>(group, input, first_token);
  } else {
    sums = multiply_blocks<kType, kTokens>(group, input, first_token);
  }
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  for (std::size_t t = 0; t < kTokens; ++t) {
    _mm512_mask_storeu_ps(out + (first_token + t) * out_stride, mask, sums[t]);
  }
}

}  // namespace

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride) {
  const std::size_t group_bytes = matrix.packed.size() / matrix.groups();
  with_type(matrix.type, [&]<TensorType kType>() {
    for (std::size_t g = group_begin; g < group_end; ++g) {
      const std::byte* group = matrix.packed.data() + g * group_bytes;
      const std::size_t rows = std::min(kGroupRows, matrix.rows - g * kGroupRows);
      float* target = out + g * kGroupRows;
      std::size_t t = 0;
      for (; t + kMaxTokens <= token_rows; t += kMaxTokens) {
        multiply_group<kType, kMaxTokens>(group, input, t, rows, target, out_stride);
      }
      for (; t + 4 <= token_rows; t += 4) multiply_group<kType, 4>(group, input, t, rows, target, out_stride);
      for (; t < token_rows; ++t) multiply_group<kType, 1>(group, input, t, rows, target, out_stride);
    }
  });
}

}  // namespace engine::kernels::avx512
