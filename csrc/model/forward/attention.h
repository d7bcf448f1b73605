#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_team.h"
#include "kernels/attention/attention_block.h"
#include "model/forward/activation_buffer.h"
#include "model/kv_cache.h"
#include "model/load/hyper_parameters.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

// Attention of one step's rows over their sequences' caches, shared among the members of a team in whole units. Who
// computes a unit, and when, changes no bit: every split of keys is summed for itself, and merged in ascending order.
// Where a layer has a window, blocks and splits that lie before it are passed over.
class Attention {
 public:
  Attention(const HyperParameters& shape, const kernels::KernelTable& kernels, unsigned members);

  // Memory for what the units of a sequence leave for each other, at most, in a step of so many of its rows that see so
  // many positions.
  static std::size_t divided_bytes(const HyperParameters& shape, std::size_t members, std::size_t rows,
                                   std::size_t positions);

  // Begins a new step without rows.
  void clear();
  // Adds rows [first_row, first_row + rows), consecutive positions of one sequence. Call prepare() after the last.
  void add(const KvCache& cache, std::size_t first_row, std::size_t rows, std::size_t first_position);
  // Makes room for what units leave for each other. Throws std::bad_alloc.
  void prepare();

  // One member's share of a layer, each layer once a step: out [rows, out_stride] = attention of the queries
  // [rows, query_stride]. Other members' shares may still be missing on return.
  // `sinks` are the layer's, see Layer::sinks.
  void attend(std::size_t layer, std::span<const float> sinks, unsigned member, const float* queries,
              std::size_t query_stride, float* out, std::size_t out_stride);

 private:
  // Rows of one sequence that meet the keys of one KV head together.
  struct Tile {
    const KvCache* cache;
    std::size_t first_row;
    std::size_t rows;
    std::size_t first_position;
    std::size_t keys;  // that any of its rows attends to: those of positions [0, keys)
    std::size_t kv_head;
    bool divided;              // among several units, a split each
    std::size_t first_result;  // if divided: its place in states_ and, times head_dim, in sums_
    std::size_t missing;       // if divided: splits not yet computed, accessed atomically
  };
  struct Unit {
    std::size_t tile;
    std::size_t split;  // 0 where the tile is not divided
  };
  // The rows as a layer has them.
  struct Rows {
    std::size_t layer;
    std::span<const float> sinks;
    const float* queries;
    std::size_t query_stride;
    float* out;
    std::size_t out_stride;
  };
  // Used by one member alone, for the queries of a tile in order (row, head).
  struct Scratch {
    Scratch(std::size_t queries_max, std::size_t head_dim);

    std::vector<const float*> queries;
    ActivationBuffer codes;  // [queries, head_dim], for caches of Q8_0
    std::vector<std::size_t> hidden;
    std::vector<std::size_t> visible;
    std::vector<kernels::SoftmaxState> states;
    std::vector<float> sums;  // [queries, head_dim]
    std::vector<kernels::SoftmaxState> totals;
  };

  std::size_t group() const { return shape_.heads / shape_.kv_heads; }
  static std::size_t splits(const Tile& tile);
  // The positions that row `row` of a tile attends to. Neither end lies before that of the row before.
  Range keys_of(const Tile& tile, std::size_t layer, std::size_t row) const;
  void gather_queries(const Tile& tile, const Rows& rows, Scratch& scratch) const;
  void compute(const Unit& unit, const Rows& rows, Scratch& scratch);
  void attend_split(const Tile& tile, std::size_t layer, std::size_t split, Scratch& scratch,
                    kernels::SoftmaxState* states, float* sums) const;
  // Fills in what each query sees of the block that begins at key `begin`; which queries see any of it.
  Range see_block(const Tile& tile, std::size_t layer, std::size_t begin, Scratch& scratch) const;
  float* output(const Tile& tile, const Rows& rows, std::size_t query) const;
  void begin_total(const Tile& tile, const Rows& rows, Scratch& scratch) const;
  void merge(const Tile& tile, std::size_t split, const kernels::SoftmaxState* states, const float* sums,
             const Rows& rows, Scratch& scratch) const;
  void finish_total(const Tile& tile, const Rows& rows, const Scratch& scratch) const;

  const HyperParameters& shape_;
  const kernels::KernelTable& kernels_;
  std::size_t members_;
  std::vector<Tile> tiles_;
  std::vector<Unit> units_;
  std::vector<std::atomic<std::size_t>> next_unit_;  // [layers] the first unit that no member has taken
  std::size_t results_ = 0;                          // (query, split) pairs of divided tiles
  std::vector<kernels::SoftmaxState> states_;        // [results]
  AlignedBuffer sums_;                               // f32 [results, head_dim]
  std::vector<Scratch> scratch_;                     // [members]
};

}  // namespace engine::model
