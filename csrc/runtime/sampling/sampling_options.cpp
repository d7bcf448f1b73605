#include "runtime/sampling/sampling_options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>

namespace engine::runtime {
namespace {

constexpr std::array<std::string_view, 12> kNames = {"logit_bias",
                                                     "repeat_penalty",
                                                     "presence_penalty",
                                                     "frequency_penalty",
                                                     "dry",
                                                     "top_k",
                                                     "typical_p",
                                                     "top_p",
                                                     "min_p",
                                                     "xtc",
                                                     "temperature",
                                                     "mirostat"};
constexpr std::array kDroppers = {SamplerKind::TopK, SamplerKind::TypicalP, SamplerKind::TopP, SamplerKind::MinP,
                                  SamplerKind::Xtc};

std::string name(SamplerKind kind) { return std::string(kNames[static_cast<std::size_t>(kind)]); }

void require(bool within, const std::string& option, const char* range) {
  if (!within) throw std::invalid_argument(option + " must be " + range);
}

void check_ranges(const SamplingOptions& o) {
  require(std::isfinite(o.temperature) && o.temperature >= 0, "temperature", "finite and at least 0");
  require(o.top_k >= 0, "top_k", "at least 0");
  require(o.top_p > 0 && o.top_p <= 1, "top_p", "above 0 and at most 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p", "between 0 and 1");
  require(o.typical_p > 0 && o.typical_p <= 1, "typical_p", "above 0 and at most 1");
  require(std::isfinite(o.repeat_penalty) && o.repeat_penalty > 0, "repeat_penalty", "finite and above 0");
  require(std::isfinite(o.presence_penalty), "presence_penalty", "finite");
  require(std::isfinite(o.frequency_penalty), "frequency_penalty", "finite");
  require(std::isfinite(o.dry_multiplier) && o.dry_multiplier >= 0, "dry_multiplier", "finite and at least 0");
  require(std::isfinite(o.dry_base) && o.dry_base >= 1, "dry_base", "finite and at least 1");
  require(o.dry_allowed_length >= 1, "dry_allowed_length", "at least 1");
  require(o.dry_last_n >= 1, "dry_last_n", "at least 1");
  require(o.xtc_probability >= 0 && o.xtc_probability <= 1, "xtc_probability", "between 0 and 1");
  require(o.xtc_threshold > 0 && o.xtc_threshold <= 0.5F, "xtc_threshold", "above 0 and at most 0.5");
  require(std::isfinite(o.mirostat_tau) && o.mirostat_tau >= 0, "mirostat_tau", "finite and at least 0");
  require(o.mirostat_eta > 0 && o.mirostat_eta <= 1, "mirostat_eta", "above 0 and at most 1");
}

// Ascending and each once, so that they can be searched.
void check_tokens(const std::vector<std::int32_t>& tokens, std::size_t vocabulary, const std::string& option) {
  require(std::ranges::adjacent_find(tokens, std::greater_equal<>()) == tokens.end(), option, "ascending, each once");
  require(tokens.empty() || (tokens.front() >= 0 && static_cast<std::size_t>(tokens.back()) < vocabulary), option,
          "tokens of the vocabulary");
}

void check_order(const SamplingOptions& o) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const auto kind = static_cast<SamplerKind>(i);
    const auto times = std::ranges::count(o.order, kind);
    require(times <= 1, "the order of samplers", "without one twice");
    require(times == 1 || !o.active(kind), name(kind), "in the order of samplers, or off");
  }
  if (!o.active(SamplerKind::Mirostat)) return;
  require(o.order.back() == SamplerKind::Mirostat, "mirostat", "the last sampler");
  require(o.temperature > 0, "temperature", "above 0 with mirostat");
  for (const SamplerKind kind : kDroppers) require(!o.active(kind), name(kind), "off with mirostat");
}

}  // namespace

SamplerKind sampler_kind(std::string_view wanted) {
  const auto found = std::ranges::find(kNames, wanted);
  if (found == kNames.end()) throw std::invalid_argument("there is no sampler " + std::string(wanted));
  return static_cast<SamplerKind>(found - kNames.begin());
}

bool SamplingOptions::active(SamplerKind kind) const {
  switch (kind) {
    case SamplerKind::LogitBias:
      return !bias_tokens.empty();
    case SamplerKind::RepeatPenalty:
      return repeat_penalty != 1.0F && repeat_last_n > 0;
    case SamplerKind::PresencePenalty:
      return presence_penalty != 0.0F && repeat_last_n > 0;
    case SamplerKind::FrequencyPenalty:
      return frequency_penalty != 0.0F && repeat_last_n > 0;
    case SamplerKind::Dry:
      return dry_multiplier > 0.0F;
    case SamplerKind::TopK:
      return top_k > 0;
    case SamplerKind::TypicalP:
      return typical_p < 1.0F;
    case SamplerKind::TopP:
      return top_p < 1.0F;
    case SamplerKind::MinP:
      return min_p > 0.0F;
    case SamplerKind::Xtc:
      return xtc_probability > 0.0F;
    case SamplerKind::Temperature:
      return temperature != 1.0F;
    case SamplerKind::Mirostat:
      return mirostat_tau > 0.0F;
  }
  return false;
}

bool SamplingOptions::takes_largest() const {
  // Top-k, top-p and min-p never drop it.
  constexpr std::array kOthers = {SamplerKind::LogitBias,
                                  SamplerKind::RepeatPenalty,
                                  SamplerKind::PresencePenalty,
                                  SamplerKind::FrequencyPenalty,
                                  SamplerKind::Dry,
                                  SamplerKind::TypicalP,
                                  SamplerKind::Xtc,
                                  SamplerKind::Mirostat};
  return temperature == 0.0F && std::ranges::none_of(kOthers, [this](SamplerKind kind) { return active(kind); });
}

void check(const SamplingOptions& options, std::size_t vocabulary) {
  check_ranges(options);
  check_tokens(options.dry_breakers, vocabulary, "dry_breakers");
  check_tokens(options.bias_tokens, vocabulary, "logit_bias");
  require(options.biases.size() == options.bias_tokens.size(), "logit_bias", "one number a token");
  require(std::ranges::all_of(options.biases, [](float bias) { return std::isfinite(bias); }), "logit_bias", "finite");
  check_order(options);
}

}  // namespace engine::runtime
