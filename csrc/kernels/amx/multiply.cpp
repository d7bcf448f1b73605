#include <algorithm>
#include <array>
#include <cstddef>

#include "base/checked.h"
#include "kernels/amx/kernels.h"
#include "kernels/amx/super_block_tiles.h"

namespace engine::kernels::avx512 {
Multiply multiply;
}

namespace engine::kernels::amx {
namespace {

// What a call works on at a time: unpacked weights stay in the nearest cache, sums in the next one.
constexpr std::size_t kGroups = 2;
constexpr std::size_t kTokens = 256;

// In the thread's scratch.
template <TensorType kType>
struct Workspace {
  std::array<SuperBlockTiles<kType>, kGroups> weights;
  std::array<typename SuperBlockTiles<kType>::Sums, 2> sums;
  // [groups][tokens][16 output rows]
  alignas(kLineBytes) std::array<float, kGroups * kTokens * kGroupRows> products;
  std::array<float, kGroups * kTokens * kGroupRows> minimums;
};

template <TensorType kType>
class TileMultiplication {
 public:
  TileMultiplication(const Matrix& matrix, const Activations& input, float* out, std::size_t out_stride,
                     std::byte* scratch)
      : matrix_(matrix),
        input_(input),
        group_bytes_(matrix.packed.size() / matrix.groups()),
        out_(out),
        out_stride_(out_stride),
        work_(*reinterpret_cast<Workspace<kType>*>(scratch)) {
    static_assert(sizeof(Workspace<kType>) <= kTileScratchBytes);
  }

  void run(std::size_t token_rows, std::size_t group_begin, std::size_t group_end) {
    with_tiles([&] {
      for (std::size_t token = 0; token < token_rows; token += kTokens) {
        const std::size_t tokens = std::min(kTokens, token_rows - token);
        for (std::size_t group = group_begin; group < group_end; group += kGroups) {
          multiply_groups(group, std::min(kGroups, group_end - group), token, tokens);
        }
      }
    });
  }

 private:
  void multiply_groups(std::size_t group, std::size_t groups, std::size_t token, std::size_t tokens) {
    for (std::size_t g = 0; g < groups; ++g) {
      std::fill_n(sums(work_.products, g), tokens_in_tiles(tokens) * kGroupRows, 0.0F);
      std::fill_n(sums(work_.minimums, g), tokens_in_tiles(tokens) * kGroupRows, 0.0F);
    }
    for (std::size_t b = 0; b < input_.columns / quant::kSuperBlock; ++b) {
      for (std::size_t g = 0; g < groups; ++g) {
        work_.weights[g].unpack(matrix_.packed.data() + (group + g) * group_bytes_, b);
      }
      add_super_blocks(b, groups, token, tokens);
    }
    for (std::size_t g = 0; g < groups; ++g) store(group + g, g, token, tokens);
  }

  // Adds the products of a super-block of each group. While those with some tokens are made, those before are added.
  void add_super_blocks(std::size_t b, std::size_t groups, std::size_t token, std::size_t tokens) {
    const std::size_t count = divide_up(tokens, kTileRows) * groups;
    for (std::size_t i = 0; i <= count; ++i) {
      const std::size_t g = i % groups;
      const std::size_t t = i / groups * kTileRows;
      const std::size_t g_before = (i + groups - 1) % groups;
      const std::size_t t_before = g == 0 ? t - kTileRows : t;
      unroll<kParts>([&](auto part) __attribute__((always_inline)) {
        if (i < count) work_.weights[g].template multiply<part>(input_, b, token + t, work_.sums[i % 2]);
        if (i == 0) return;
        work_.weights[g_before].template add<part>(input_, b, token + t_before, work_.sums[(i + 1) % 2],
                                                   sums(work_.products, g_before) + t_before * kGroupRows,
                                                   sums(work_.minimums, g_before) + t_before * kGroupRows);
      });
    }
  }

  void store(std::size_t group, std::size_t g, std::size_t token, std::size_t tokens) const {
    const std::size_t row = group * kGroupRows;
    const std::size_t rows = std::min(kGroupRows, matrix_.rows - row);
    for (std::size_t t = 0; t < tokens; ++t) {
      const __m512 products = _mm512_load_ps(sums(work_.products, g) + t * kGroupRows);
      const __m512 minimums = _mm512_load_ps(sums(work_.minimums, g) + t * kGroupRows);
      avx512::Simd::store_rows(out_ + (token + t) * out_stride_ + row, _mm512_sub_ps(products, minimums), rows);
    }
  }

  static std::size_t tokens_in_tiles(std::size_t tokens) { return round_up(tokens, kTileRows); }
  template <typename Sums>
  static auto sums(Sums& of_groups, std::size_t g) {
    return of_groups.data() + g * kTokens * kGroupRows;
  }

  const Matrix& matrix_;
  const Activations& input_;
  std::size_t group_bytes_;
  float* out_;
  std::size_t out_stride_;
  Workspace<kType>& work_;
};

}  // namespace

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch) {
  if (input.planes == nullptr || token_rows < kFewestTileRows) {
    avx512::multiply(matrix, input, token_rows, group_begin, group_end, out, out_stride, scratch);
    return;
  }
  gguf::with_type(matrix.type, [&]<TensorType kType>() {
    if constexpr (gguf::kTraits<kType>.is_super_block()) {
      TileMultiplication<product_type(kType)>(matrix, input, out, out_stride, scratch)
          .run(token_rows, group_begin, group_end);
    }
  });
}

std::uint64_t multiply_bytes() {
  constexpr std::uint64_t kRounds = 4096;
  alignas(kLineBytes) std::array<std::byte, kTileBytes> codes{};
  with_tiles([&] {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, codes.data(), kLineBytes);
    _tile_loadd(5, codes.data(), kLineBytes);
    _tile_loadd(6, codes.data(), kLineBytes);
    _tile_loadd(7, codes.data(), kLineBytes);
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 5, 6);
      _tile_dpbssd(2, 4, 7);
      _tile_dpbssd(3, 5, 7);
    }
  });
  return kRounds * 4 * kTileBytes * kTileRows;
}

}  // namespace engine::kernels::amx
