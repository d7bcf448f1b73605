#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_team.h"
#include "model/forward/forward_pass.h"
#include "model/forward/operation_clock.h"
#include "runtime/loop/compute_share.h"
#include "runtime/loop/drafting.h"
#include "runtime/loop/event_buffer.h"
#include "runtime/loop/sequence.h"

namespace engine::runtime {

// Rows for decoding sequences beside a prefill chunk: what the buffers hold. The scheduler admits no more sequences
// than this to a group; any more would wait.
inline constexpr std::size_t kMaxDecodeRows = 256;

// Settings that sequences must have in common to share a step: those of a plan's batch key (engine/batch_key.py).
struct GroupSettings {
  std::shared_ptr<const model::Model> model;
  unsigned threads;
  std::chrono::microseconds spin;
  std::size_t prefill_chunk;

  bool operator==(const GroupSettings&) const = default;
};

struct StepCounts {
  std::size_t prefill_rows = 0;
  std::size_t decode_rows = 0;  // those of drafted tokens too
};

// What a sequence had of the steps so far.
struct SequenceTime {
  std::uint64_t id;
  std::int64_t compute_ns;  // its part of them
  std::int64_t busy_ns;     // all steps of all groups since its first
};

// Sequences that run together, one step after the other. Used by the run loop's thread alone.
class Group {
 public:
  // `busy_ns` is the time of all steps of all groups so far, and outlives the group. Throws std::bad_alloc,
  // std::system_error.
  Group(GroupSettings settings, PrefixCache& prefix_cache, std::int64_t& busy_ns);

  const GroupSettings& settings() const { return settings_; }
  bool idle() const { return sequences_.empty(); }
  // Whether a step would compute anything: not where all that are here are paused.
  bool runnable() const;
  // KV cache of its sequences' own.
  std::size_t kv_cache_bytes() const;
  // And what they read of the prefix cache, each for itself.
  std::size_t kv_shared_bytes() const;
  std::size_t size() const { return sequences_.size(); }
  std::size_t paused() const;
  // Appends those of its sequences that took part in a step. Throws std::bad_alloc.
  void append_times(std::vector<SequenceTime>& times) const;

  // Throws std::bad_alloc.
  void add(std::unique_ptr<Sequence> sequence);
  // Ends the sequence if it is here, all its choices. False where it is not.
  bool cancel(std::uint64_t id);
  void cancel_all();
  // Leaves the sequence out of steps, or takes it in again, from the next step on. False where it is not here.
  bool set_paused(std::uint64_t id, bool paused);
  // Adds the ends of sequences to the events. Kept apart from what they did before, so that the run loop can first
  // publish statistics that count them no more.
  void tell_ends(EventBuffer& events);

  // Draft models that it holds, beside those that its sequences do; and lets one of them go.
  std::vector<std::shared_ptr<const model::Model>> draft_models() const { return drafting_.models(); }
  void forget_draft_model(const std::shared_ptr<const model::Model>& model) { drafting_.forget(model); }

  // The sequences whose prompts the next step works on.
  std::vector<std::uint64_t> prefilling() const;
  // Computes one step: a token for every decoding sequence, or several where what was drafted is what it draws, and a
  // chunk of the waiting prompts. Where `abort` became true
  // the step has no effect, but on the time that its sequences took.
  StepCounts step(const std::atomic<bool>& abort, EventBuffer& events);

 private:
  struct Member {
    std::unique_ptr<Sequence> sequence;
    std::size_t tokens = 0;         // in the present step
    double cost = 0.0;              // its cost beside the others of the step
    double draft_cost = 0.0;        // that of its draft model, beside those of others
    std::uint32_t next_choice = 1;  // first choice not forked off yet
    std::uint32_t choices = 1;      // the request's; 1 where this is a fork
    bool paused = false;
    bool started = false;
    bool produced = false;
    std::int64_t busy_before_ns = 0;  // the loop's, when it started
    std::int64_t compute_ns = 0;
    std::int64_t draft_ns = 0;                          // the part of compute_ns that its draft model took
    std::int64_t ended_choices_ns = 0;                  // compute_ns of choices of its request that have ended
    std::size_t kv_peak_bytes = 0;                      // the most that all choices of its request have held together
    std::optional<model::OperationTimes> operation_ns;  // where op_times is on
    std::optional<SequenceEvents> last;                 // once it has ended
  };

  struct DrawnToken {
    std::int32_t token;
    std::optional<TokenLogProbabilities> log_probabilities = std::nullopt;
    Sequence::Effect effect = {};
  };

  // Tokens of a member to be drawn, one from each row of logits while those before it were drafted, and what came of
  // it.
  struct Drawing {
    std::size_t member;
    std::size_t logit_row;  // the first
    std::size_t logit_rows;
    std::vector<DrawnToken> drawn = {};
    std::string failure = "";  // why its grammar cannot be followed; empty where it can
  };

  // Whether the member stands for what the choices of its request share: the first that is left of them.
  bool holds_prompt(std::vector<Member>::const_iterator member) const;
  void plan(const std::atomic<bool>& abort);
  // Has sequences guess, and drafts what is worth its rows beside those planned. Throws std::bad_alloc.
  void plan_drafts(const std::atomic<bool>& abort);
  // Has draft models guess, and notes what that cost; ends sequences for which there was no memory.
  void draft(std::vector<Drafting::Entry>& entries, StepRows& step, std::size_t waiting,
             const std::atomic<bool>& abort);
  // Makes room for the rows of the step, and notes what they cost; ends sequences for which there is none.
  void make_room();
  // Notes what the choices of each request hold of KV cache together, counting blocks that they share once.
  void note_kv_peaks();
  // Charges the operation with the time since the last mark of this step.
  void charge(model::Operation operation);
  // Divides the time of a step that began then among its sequences.
  void account(std::int64_t began_ns);
  StepCounts run(const std::atomic<bool>& abort, EventBuffer& events);
  void announce_start(Member& member, EventBuffer& events);
  // Adds what a member, and behind the prompt the other choices of its request, are to draw from rows of logits.
  void add_drawings(std::size_t member, std::size_t logit_row, std::size_t logit_rows, std::vector<Drawing>& drawings);
  // Behind the prompt, forks the other choices of a request off the first: adds them to the sequences.
  void fork_choices(std::size_t member);
  // Draws all tokens; where more than one takes time, all members of the team do.
  void draw(std::vector<Drawing>& drawings);
  // Draws the tokens of one, and notes where its grammar cannot be followed. Members of the team may each be at one.
  void draw(Drawing& drawing, Sampler& sampler, model::OperationClock* clock);
  // Draws the token of one row, follows its grammar and turns it into text. Throws GrammarError.
  DrawnToken draw_token(Sequence& sequence, std::size_t logit_row, Sampler& sampler, model::OperationClock* clock);
  // Turns tokens drawn into an event; ends the sequence where one of them or its grammar does.
  void take_in(Drawing& drawing, EventBuffer& events);
  void end(Member& member, StopReason reason, std::string error,
           const std::optional<model::NonFinitePlace>& non_finite = {});
  // Leaves what was computed of it to later sequences.
  void keep_prefix(Sequence& sequence);
  // Lets another choice of the request, if there is any, stand for what this one took.
  void hand_on_time(const Member& ended, std::uint64_t id);
  void remove_ended();

  GroupSettings settings_;
  PrefixCache& prefix_cache_;
  ThreadTeam team_;
  model::ForwardPass pass_;
  std::vector<Sampler> samplers_;  // one for each member of the team
  RowCost row_cost_;
  Drafting drafting_;
  std::int64_t draft_ns_ = 0;  // of the present step
  std::int64_t& busy_ns_;      // the loop's
  model::OperationClock clock_;
  bool timed_ = false;  // a sequence of the present step has op_times on
  std::vector<Member> sequences_;
  std::vector<SequenceEvents> ends_;  // not published yet
};

}  // namespace engine::runtime
