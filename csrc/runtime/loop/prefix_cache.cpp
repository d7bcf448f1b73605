#include "runtime/loop/prefix_cache.h"

#include <algorithm>
#include <new>
#include <utility>

namespace engine::runtime {

using kernels::kKeyBlock;

struct PrefixCache::Tree {
  std::weak_ptr<const model::Model> model;
  model::KvFormat format;
  Children roots;
};

// Lives as long as it is in the tree or in a Prefix, and is counted as long.
struct PrefixCache::Node {
  Node(PrefixCacheUsage& counted, Tree& of, Node* before, const BlockTokens& its_tokens, model::KvBlock its_block)
      : usage(counted), tree(of), parent(before), tokens(its_tokens), block(std::move(its_block)) {
    ++usage.blocks;
    usage.bytes += block.bytes();
    usage.idle_bytes += block.bytes();
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node() {
    --usage.blocks;
    usage.bytes -= block.bytes();
    usage.idle_bytes -= block.bytes();
  }

  void begin_reading() {
    if (readers++ == 0) usage.idle_bytes -= block.bytes();
  }
  void end_reading() {
    if (--readers == 0) usage.idle_bytes += block.bytes();
  }
  Children& siblings() { return parent != nullptr ? parent->children : tree.roots; }

  PrefixCacheUsage& usage;
  Tree& tree;
  Node* parent;  // nullptr for a first block
  BlockTokens tokens;
  model::KvBlock block;
  Children children;
  std::list<Node*>::iterator place;  // in order_, while it is in the tree
  std::size_t readers = 0;
};

PrefixCache::Prefix::~Prefix() {
  for (const NodePointer& node : nodes_) node->end_reading();
}

std::vector<model::KvBlock> PrefixCache::Prefix::blocks() const {
  std::vector<model::KvBlock> blocks;
  blocks.reserve(nodes_.size());
  for (const NodePointer& node : nodes_) blocks.push_back(node->block);
  return blocks;
}

void PrefixCache::Prefix::append(NodePointer node) {
  nodes_.push_back(std::move(node));
  nodes_.back()->begin_reading();
}

PrefixCache::PrefixCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

PrefixCache::~PrefixCache() { clear(); }

PrefixCache::Prefix PrefixCache::find(const std::shared_ptr<const model::Model>& model, const model::KvFormat& format,
                                      std::span<const std::int32_t> tokens) {
  return walk(tree_of(model, format), tokens);
}

void PrefixCache::keep(const std::shared_ptr<const model::Model>& model, std::span<const std::int32_t> tokens,
                       const model::KvCache& cache, const Prefix& begun) noexcept {
  if (begun.era_ != era_) return;
  try {
    Tree& tree = tree_of(model, cache.format());
    Prefix path = walk(tree, tokens);  // nothing on it makes room for what follows
    for (std::size_t i = path.nodes_.size(); i < tokens.size() / kKeyBlock; ++i) {
      if (!make_room(cache.block(i).bytes())) break;
      BlockTokens of_block;
      std::ranges::copy(tokens.subspan(i * kKeyBlock, kKeyBlock), of_block.begin());
      add(tree, path, of_block, cache.block(i));
    }
  } catch (const std::bad_alloc&) {
    return;  // a cache may keep less
  }
}

void PrefixCache::drop(std::size_t bytes) {
  std::size_t dropped = 0;
  for (auto place = order_.end(); dropped < bytes && place != order_.begin();) {
    Node& node = **--place;
    if (node.readers > 0) continue;
    dropped += node.block.bytes();
    ++place;  // stays valid when the node goes
    remove(node);
  }
}

void PrefixCache::clear() {
  ++era_;
  while (!order_.empty()) remove(*order_.back());
  trees_.clear();
}

void PrefixCache::drop_unused_models() {
  if (std::ranges::none_of(trees_, [](const Tree& tree) { return tree.model.expired(); })) return;
  for (auto place = order_.end(); place != order_.begin();) {
    Node& node = **--place;
    if (!node.tree.model.expired()) continue;
    ++place;
    remove(node);
  }
  trees_.remove_if([](const Tree& tree) { return tree.model.expired(); });
}

PrefixCache::Tree& PrefixCache::tree_of(const std::shared_ptr<const model::Model>& model,
                                        const model::KvFormat& format) {
  const auto found = std::ranges::find_if(trees_, [&](const Tree& tree) {
    // Compared by owner: a new model may lie where an old one lay.
    return tree.format == format && !tree.model.owner_before(model) && !model.owner_before(tree.model);
  });
  if (found != trees_.end()) return *found;
  trees_.push_back({.model = model, .format = format, .roots = {}});
  return trees_.back();
}

PrefixCache::Prefix PrefixCache::walk(Tree& tree, std::span<const std::int32_t> tokens) {
  Prefix path;
  path.era_ = era_;
  path.nodes_.reserve(tokens.size() / kKeyBlock);
  BlockTokens next;
  for (const Children* children = &tree.roots; tokens.size() >= kKeyBlock; tokens = tokens.subspan(kKeyBlock)) {
    std::ranges::copy(tokens.first(kKeyBlock), next.begin());
    const auto found = children->find(next);
    if (found == children->end()) break;
    path.append(found->second);
    children = &found->second->children;
  }
  // No std::views::reverse: clang before 16 does not compile libstdc++'s.
  // NOLINTNEXTLINE(modernize-loop-convert)
  for (auto node = path.nodes_.rbegin(); node != path.nodes_.rend(); ++node) {
    order_.splice(order_.begin(), order_, (*node)->place);
  }
  return path;
}

bool PrefixCache::make_room(std::size_t bytes) {
  if (usage_.bytes + bytes > max_bytes_) drop(usage_.bytes + bytes - max_bytes_);
  return usage_.bytes + bytes <= max_bytes_;
}

void PrefixCache::add(Tree& tree, Prefix& path, const BlockTokens& tokens, const model::KvBlock& block) {
  Node* parent = path.nodes_.empty() ? nullptr : path.nodes_.back().get();
  auto node = std::make_shared<Node>(usage_, tree, parent, tokens, block);
  // All that may throw comes before the first change.
  std::list<Node*> place{node.get()};
  node->place = place.begin();
  node->siblings().emplace(tokens, node);
  order_.splice(parent == nullptr ? order_.begin() : std::next(parent->place), place);
  path.append(std::move(node));  // reserved by walk()
}

void PrefixCache::remove(Node& leaf) {
  order_.erase(leaf.place);
  Children& siblings = leaf.siblings();
  siblings.erase(siblings.find(leaf.tokens));  // the node goes with it unless a sequence reads it
}

}  // namespace engine::runtime
