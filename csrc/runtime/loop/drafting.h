#pragma once

#include <atomic>
#include <cstddef>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_team.h"
#include "model/forward/forward_pass.h"
#include "model/model.h"
#include "runtime/loop/compute_share.h"
#include "runtime/loop/sequence.h"
#include "runtime/speculation/draft_planner.h"

namespace engine::runtime {

// Has draft models guess for the sequences of a group: in rounds, each a step of a draft model in which it guesses one
// more token of some of them. What a model has not computed of a sequence yet, as its prompt, it computes when it first
// guesses of it. Used by the run loop's thread alone.
class Drafting {
 public:
  // Tokens of a sequence that wait where its guesses follow each other from step to step, at most: the one last drawn,
  // and a guess before it that was right.
  static constexpr std::size_t kFollowing = 2;

  // A step of a draft model computes at most `rows`.
  Drafting(ThreadTeam& team, std::size_t rows) : team_(team), rows_(rows) {}

  struct Entry {
    Sequence* sequence;
    std::size_t member;      // the sequence's place in the group
    double cost = 0.0;       // of the draft model's rows, beside those of other entries
    bool no_memory = false;  // none was left for its keys and values
  };

  // Adds guesses to sequences that have a draft model, while one more round is worth the time that it takes from
  // `step`, and adds that time to the step. Sequences of which more tokens wait than kFollowing have no more than
  // `waiting` computed, all together. Returns whether anything was computed; ends early where `abort` becomes true.
  // Throws std::bad_alloc.
  bool run(std::span<Entry> entries, StepRows& step, std::size_t waiting, const std::atomic<bool>& abort);

  // Draft models that it holds.
  std::vector<std::shared_ptr<const model::Model>> models() const;
  // Lets one of them go until it guesses again.
  void forget(const std::shared_ptr<const model::Model>& model);

 private:
  // A model, with the buffers of its steps.
  struct Pass {
    Pass(std::shared_ptr<const model::Model> of, ThreadTeam& team, std::size_t rows);

    std::shared_ptr<const model::Model> model;
    RowCost row_cost;
    model::ForwardPass forward;
  };
  // A sequence's part of a round.
  struct Part {
    Entry* entry;
    std::vector<std::int32_t> tokens;
    bool guesses;  // else more of them wait
  };

  // The model's pass, made if need be.
  Pass& pass_of(const std::shared_ptr<const model::Model>& model);
  // Rounds of one model, on a step that grows by their guesses.
  bool run_model(const std::shared_ptr<const model::Model>& model, std::span<Entry> entries, StepRows& step,
                 std::size_t& waiting, const std::atomic<bool>& abort);

  ThreadTeam& team_;
  std::size_t rows_;
  std::list<Pass> passes_;  // those used last at the end
};

}  // namespace engine::runtime
