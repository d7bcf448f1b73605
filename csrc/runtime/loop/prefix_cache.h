#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "model/model.h"

namespace engine::runtime {

struct PrefixCacheUsage {
  std::size_t blocks = 0;
  std::size_t bytes = 0;
  std::size_t idle_bytes = 0;  // the part that no sequence reads
};

// Keys and values of sequences that have ended, for later ones that begin with the same tokens: a tree of blocks for
// each model and KV cache format, in which the way to a block is the tokens of it and of all before it. Blocks are
// found by comparing tokens. Used by the run loop's thread alone; outlives every Prefix.
class PrefixCache {
  struct Node;
  struct Tree;
  using NodePointer = std::shared_ptr<Node>;

 public:
  // The blocks that one sequence reads. They stay while it exists.
  class Prefix {
   public:
    Prefix() = default;
    Prefix(Prefix&&) = default;
    Prefix& operator=(Prefix&&) = delete;
    Prefix(const Prefix&) = delete;
    Prefix& operator=(const Prefix&) = delete;
    ~Prefix();

    std::vector<model::KvBlock> blocks() const;

   private:
    friend class PrefixCache;
    void append(NodePointer node);

    std::vector<NodePointer> nodes_;  // each the parent of the next
    std::uint64_t era_ = 0;           // how often the cache had been cleared
  };

  // Keeps at most `bytes` of blocks; with 0 none.
  explicit PrefixCache(std::size_t max_bytes);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // The longest run of whole blocks that `tokens` begin with. Throws std::bad_alloc.
  Prefix find(const std::shared_ptr<const model::Model>& model, const model::KvFormat& format,
              std::span<const std::int32_t> tokens);
  // Takes a share in the whole blocks of a sequence that is about to end: `tokens` are those whose keys and values are
  // in `cache`, `begun` is what was found when it began. Blocks used longest ago make room for them; what finds no
  // room is not kept, nor is anything of a sequence that began before the cache was cleared.
  void keep(const std::shared_ptr<const model::Model>& model, std::span<const std::int32_t> tokens,
            const model::KvCache& cache, const Prefix& begun) noexcept;
  // Drops idle blocks, those used longest ago first, until so many bytes are free or none is left.
  void drop(std::size_t bytes);
  // Nothing that has been computed so far is found from now on. Blocks that sequences read go when these end.
  void clear();
  // Drops the blocks of models that are no longer held.
  void drop_unused_models();

  const PrefixCacheUsage& usage() const { return usage_; }

 private:
  using BlockTokens = std::array<std::int32_t, kernels::kKeyBlock>;
  using Children = std::map<BlockTokens, NodePointer>;

  Tree& tree_of(const std::shared_ptr<const model::Model>& model, const model::KvFormat& format);
  // Goes as far as there are blocks, and makes them the ones used last.
  Prefix walk(Tree& tree, std::span<const std::int32_t> tokens);
  bool make_room(std::size_t bytes);
  void add(Tree& tree, Prefix& path, const BlockTokens& tokens, const model::KvBlock& block);
  void remove(Node& leaf);

  std::size_t max_bytes_;
  std::uint64_t era_ = 0;
  PrefixCacheUsage usage_;
  std::list<Tree> trees_;
  // Blocks by last use, the latest first and each before its children, so that the last idle one has none.
  std::list<Node*> order_;
};

}  // namespace engine::runtime
