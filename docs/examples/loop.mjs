// The loop, by a client that knows the engine's HTTP and nothing else: Node 18 or newer, no packages.
//
//   node loop.mjs MODEL [--pairs 12] [--tokens 32] [--gain 1.02] [--margin 0.1] [--name NAME]
//
// It reads what can be varied from the engine's own schema, experiments with one other value of fields that change speed
// and no bit, and proposes the plan that is faster, by the whole of its interval at least --gain times as fast, and in
// nothing else worse by more than --margin. With --name the plan is put behind that name, used once, and rolled back where
// the name had another before. ENGINE_HTTP_SOCKET names the engine's socket of HTTP.

import http from "node:http";
import { parseArgs } from "node:util";

const AGENT = "loop.mjs";
const GUARDRAILS = ["ttft_ms", "latency_p95_ms", "memory_peak_mb"];
const INPUTS = ["Lisbon is", "Water boils at", "A list of colours: red,", "Once upon a time", "The sum of two and two is"];
const MOST_CANDIDATES = 5;

const socketPath =
  process.env.ENGINE_HTTP_SOCKET ?? `${process.env.XDG_RUNTIME_DIR ?? "/run"}/engine/engine-http.sock`;

class Refused extends Error {}

function answered(method, path, body, accept, take) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", accept };
    const request = http.request({ socketPath, method, path: `/v1/weos${path}`, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => {
        text = take(text + part, response.statusCode);
      });
      response.on("end", () => resolve({ status: response.statusCode, text }));
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function ask(method, path, body) {
  const { status, text } = await answered(method, path, body, "application/json", (all) => all);
  const content = JSON.parse(text);
  if (status !== 200) throw new Refused(`${content.error.code}: ${content.error.message}`);
  return content;
}

/** Calls `take` with each message of an answer that is a line of JSON each, as it comes. */
async function follow(path, body, take) {
  const { status, text } = await answered("POST", path, body, "application/x-ndjson", (all, code) => {
    if (code !== 200) return all;
    const lines = all.split("\n");
    for (const line of lines.slice(0, -1)) if (line.trim()) take(JSON.parse(line));
    return lines.at(-1);
  });
  if (status !== 200) throw new Refused(text);
}

/** The fields of plans that change speed alone, each with its name in the plan and values worth a try. */
function* searchSpace(schema, group = schema, prefix = "") {
  for (const [name, node] of Object.entries(group.properties)) {
    const search = node["x-search"];
    if (search === undefined && node.$ref) {
      yield* searchSpace(schema, schema.$defs[node.$ref.split("/").at(-1)], `${prefix}${name}.`);
    } else if (search?.effect === "speed" && !search.depends_on_traffic) {
      const values = search.values ?? [search.minimum, search.maximum].filter((value) => value !== undefined);
      yield { name: prefix + name, field: search.request_field.replace(/^execution\./, ""), values };
    }
  }
}

const nested = (field, value) => field.split(".").reduceRight((inner, part) => ({ [part]: inner }), value);
const at = (plan, name) => name.split(".").reduce((inner, part) => inner[part], plan);

/** One other value of each field, where the engine makes a plan of it on this machine. */
async function candidates(open, baseline) {
  const found = [];
  for (const { name, field, values } of searchSpace(await ask("GET", "/schema/plan"))) {
    for (const value of values.filter((one) => one !== at(baseline, name))) {
      if (found.length === MOST_CANDIDATES) return found;
      const plan = { ...open, ...nested(field, value) };
      try {
        await ask("POST", "/plan", { plan, prompt: INPUTS[0] });
        found.push({ told: `${name}: ${at(baseline, name)} -> ${value}`, plan });
        break;
      } catch (refused) {
        if (!(refused instanceof Refused)) throw refused;
      }
    }
  }
  return found;
}

/** Why an arm of an experiment that ran to its end proves nothing; empty: it does. Pure. */
function faults(arm, gain, margin) {
  const interval = (metric) => arm.figures.find((figure) => figure.metric === metric)?.interval;
  const told = [];
  if (arm.same_output !== true) told.push("its answers are not the baseline's");
  const speed = interval("tokens_per_sec");
  if (!speed) return [...told, `too few pairs count: ${arm.disturbed} of ${arm.pairs} were disturbed`];
  if (speed[0] < gain) told.push(`its tokens per second may be only ${speed[0].toFixed(3)} of the baseline's`);
  for (const metric of GUARDRAILS) {
    const bound = interval(metric);
    if (!bound || bound[1] > 1 + margin) told.push(`${metric} may be worse by more than ${margin * 100} %`);
  }
  return told;
}

async function experiment(open, tried, pairs) {
  const body = {
    baseline: open,
    candidates: tried.map((one) => one.plan),
    workload: INPUTS.map((prompt) => ({ prompt })),
    metrics: ["tokens_per_sec", ...GUARDRAILS],
    pairs,
    agent: AGENT,
  };
  let ended;
  await follow("/experiments", body, (message) => {
    if (message.type === "ExperimentDeclared") console.log(`declared ${message.declaration.experiment_id}`);
    if (message.type === "Experimented") ended = message.experiment;
    if (message.type === "Failed") throw new Refused(JSON.stringify(message.error));
  });
  return ended;
}

async function file(record, arm, margin, name) {
  const evidence = [record.experiment_id];
  const guardrails = GUARDRAILS.map((metric) => ({ metric, margin }));
  const figure = arm.figures.find((one) => one.metric === "tokens_per_sec");
  const claims = [{ metric: figure.metric, median_ratio: figure.median_ratio, evidence: record.experiment_id }];
  const plan = record.plans[arm.arm];
  const filed = await ask("POST", "/proposals", { plan, evidence, kpi: figure.metric, guardrails, claims, agent: AGENT });
  const proposal = filed.status.proposal.proposal_id;
  const reason = "the interval's lower end is a gain, and no guardrail is broken";
  await ask("POST", `/proposals/${proposal}/move`, { state: "validated", agent: AGENT, reason });
  console.log(`validated ${proposal}`);
  if (name === undefined) return;
  const applied = await ask("POST", `/plans/${name}/apply`, { proposal, agent: AGENT, reason });
  const { version } = applied.version.named_plan;
  const ran = await ask("POST", "/run", { plan_name: name, prompt: INPUTS[0] });
  console.log(`${name} is version ${version}; ${ran.execution_id} ran by it: ${JSON.stringify(ran.record.named_plan)}`);
  if (version > 1) {
    const why = { agent: AGENT, reason: "to show the way back" };
    const back = await ask("POST", `/plans/${name}/roll-back`, { newest: version, ...why });
    console.log(`rolled back: ${name} is version ${back.version.named_plan.version}`);
  }
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: "string", default: "12" },
    tokens: { type: "string", default: "32" },
    gain: { type: "string", default: "1.02" },
    margin: { type: "string", default: "0.1" },
    name: { type: "string" },
  },
});
const margin = Number(options.margin);
const open = {
  model: positionals[0],
  limits: { max_tokens: Number(options.tokens) },
  stop: { eos: false },
  context_length: 512,
};
const { plan: baseline } = await ask("POST", "/plan", { plan: open, prompt: INPUTS[0] });
const tried = await candidates(open, baseline);
const record = await experiment(open, tried, Number(options.pairs));
console.log(`${record.experiment_id}: ${record.ended}, ${record.pairs.length} pairs`);
const proved = [];
for (const arm of record.arms) {
  const told = faults(arm, Number(options.gain), margin);
  const ratio = arm.figures[0].median_ratio;
  console.log(`${tried[arm.arm - 1].told}: ${ratio === null ? "unknown" : ratio.toFixed(3)}; ${told.join("; ") || "proved"}`);
  if (told.length === 0) proved.push({ arm, ratio });
}
if (proved.length === 0) console.log("the baseline stays");
else await file(record, proved.sort((a, b) => b.ratio - a.ratio)[0].arm, margin, options.name);
