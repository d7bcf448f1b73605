#include "runtime/loop/draft_context.h"

#include <algorithm>
#include <utility>

namespace engine::runtime {

DraftContext::DraftContext(DraftModel draft, kernels::KvType kv_type, std::size_t context_length)
    : draft_(std::move(draft)), cache_(draft_.model->shape(), kv_type, context_length) {}

DraftContext DraftContext::fork() const {
  DraftContext other = *this;
  other.cache_ = cache_.fork(computed());
  return other;
}

void DraftContext::begin_with(PrefixCache::Prefix prefix, std::span<const std::int32_t> prompt) {
  const std::vector<model::KvBlock> blocks = prefix.blocks();
  cache_.begin_with(blocks);
  prefix_ = std::make_shared<const PrefixCache::Prefix>(std::move(prefix));
  mark_computed(prompt.first(blocks.size() * kernels::kKeyBlock));
}

void DraftContext::make_room(std::size_t rows) {
  if (!prefix_) cache_.slide(agreed_);  // it may have to go back there
  cache_.reserve(computed() + rows);
}

void DraftContext::follow(std::span<const std::int32_t> tokens) {
  const std::size_t most = std::min(tokens.size() - 1, tokens_.size());
  while (agreed_ < most && tokens_[agreed_] == tokens[agreed_]) ++agreed_;
  tokens_.resize(agreed_);
}

}  // namespace engine::runtime
