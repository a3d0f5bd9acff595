"use strict";
const pageText = JSON.parse(document.getElementById("page").textContent);
const page = JSON.parse(pageText);
const outcomes = JSON.parse(document.getElementById("outcomes").textContent);
const boxes = [...document.querySelectorAll("#tiles input")];
const byId = (name) => document.getElementById(name);

/* SHA-256 (FIPS 180-4) of ASCII text, in hex. crypto.subtle is not there for every page that is opened from a file. */
const PRIMES = [];
for (let number = 2; PRIMES.length < 64; number++) if (PRIMES.every((prime) => number % prime)) PRIMES.push(number);
const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
const ROUND = PRIMES.map((prime) => fraction(Math.cbrt(prime)));
const START = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
const turn = (word, by) => (word >>> by) | (word << (32 - by));

function sha256(text) {
  const words = new Int32Array((((text.length + 8) >> 6) + 1) * 16);
  for (let at = 0; at < text.length; at++) words[at >> 2] |= text.charCodeAt(at) << (24 - 8 * (at & 3));
  words[text.length >> 2] |= 0x80 << (24 - 8 * (text.length & 3));
  words[words.length - 1] = 8 * text.length;
  let state = START;
  for (let block = 0; block < words.length; block += 16) state = compress(state, words.subarray(block, block + 16));
  return state.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function compress(state, block) {
  const w = new Int32Array(64);
  w.set(block);
  for (let t = 16; t < 64; t++) {
    const a = w[t - 15], b = w[t - 2];
    w[t] = w[t - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[t - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 64; t++) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[t] + w[t]) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  return [a, b, c, d, e, f, g, h].map((word, at) => (word + state[at]) | 0);
}

function isFake(number) {
  const digest = page.digests[number - 1];
  return sha256(`${page.salt} ${number} fake`).slice(0, digest.length) === digest;
}

/* Tiles: cut out of the one picture that holds them all. */
async function drawTiles() {
  const sheet = byId("sheet");
  await sheet.decode();
  boxes.forEach((box, at) => {
    const canvas = box.closest("label").querySelector("canvas");
    const columns = sheet.naturalWidth / canvas.width;
    const left = (at % columns) * canvas.width, top = Math.floor(at / columns) * canvas.height;
    canvas.getContext("2d").drawImage(
      sheet, left, top, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
  });
  document.body.dataset.drawn = "yes";
}

/* Keys: one tile is in the order of Tab, arrows lead to the others. */
function tilesPerRow() {
  const top = boxes[0].closest("label").offsetTop;
  const other = boxes.findIndex((box) => box.closest("label").offsetTop !== top);
  return other < 0 ? boxes.length : other;
}

function goTo(at) {
  boxes.forEach((box, other) => { box.tabIndex = other === at ? 0 : -1; });
  boxes[at].focus();
}

function onKey(event) {
  const at = boxes.indexOf(event.target);
  if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  const row = tilesPerRow();
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row, Home: -at, End: boxes.length - 1 - at };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const next = at + steps[event.key];
  if (next >= 0 && next < boxes.length) goTo(next);
}

/* Marks. */
const marked = () => boxes.filter((box) => box.checked).map((box) => Number(box.value));
const say = (text) => { byId("status").textContent = text; };
const tellMarks = () => say(`${marked().length} of ${page.pairs} marked`);

function check() {
  const missing = page.pairs - marked().length;
  if (missing > 0) return say(`Mark ${missing} more: ${page.pairs} of the tiles are fakes.`);
  if (missing < 0) return say(`Take ${-missing} back: only ${page.pairs} of the tiles are fakes.`);
  tellTiles();
  tellResult();
}

function tellTiles() {
  for (const box of boxes) {
    const fake = isFake(Number(box.value)), label = box.closest("label"), told = label.querySelector(".told");
    label.dataset.is = fake ? "fake" : "real";
    told.innerHTML = fake ? `<b>fake</b>, ${box.checked ? "found" : "missed"}` : box.checked ? "real, suspected" : "real";
    told.hidden = false;
    box.disabled = true;
  }
}

const percent = (share) => (100 * share).toFixed(1);

function tellResult() {
  const fakes = boxes.map((box) => Number(box.value)).filter(isFake);
  const found = marked().filter((number) => fakes.includes(number)).length;
  const outcome = outcomes.human[found];
  byId("score").textContent = `You found ${found} of ${page.pairs} fakes: ${percent(outcome.share)} %`;
  byId("verdict").textContent = outcome.said;
  const chance = outcome.p_value < 0.001 ? "less than 0.001" : outcome.p_value.toFixed(3);
  byId("interval").textContent =
    `Guessing finds half of them. The exact 95 % interval of your share reaches from ${percent(outcome.low)} to ` +
    `${percent(outcome.high)} %; the probability to find as many or more by guessing is ${chance}.`;
  byId("answers").textContent = `The fakes: ${fakes.join(", ")}.`;
  byId("scale").innerHTML = drawScale([["you", outcome], ["machine", outcomes.machine]].filter((row) => row[1]));
  byId("bar").hidden = true;
  byId("result").hidden = false;
  byId("score").focus();
  byId("result").scrollIntoView();
}

/* Shares with their intervals between 0 and 100 %; what counts as guessing is shaded. */
function drawScale(rows) {
  const across = (share) => 70 + 265 * share, bottom = 20 + 40 * rows.length;
  const lines = rows.map(([name, found], at) => {
    const middle = 40 + 40 * at;
    return `<text x="0" y="${middle + 5}">${name}</text>` +
      `<line class="interval" x1="${across(found.low)}" x2="${across(found.high)}" y1="${middle}" y2="${middle}"/>` +
      `<circle class="share" cx="${across(found.share)}" cy="${middle}" r="6"/>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<line class="axis" x1="${across(share)}" x2="${across(share)}" y1="${bottom}" y2="${bottom + 6}"/>` +
    `<text x="${across(share)}" y="${bottom + 22}" text-anchor="middle">${100 * share} %</text>`);
  const [from, to] = outcomes.guessing.map(across);
  return `<rect class="margin" x="${from}" width="${to - from}" y="18" height="${bottom - 18}"/>` +
    `<text x="${across(0.5)}" y="13" text-anchor="middle">guessing</text>` +
    `<line class="axis" x1="${across(0)}" x2="${across(1)}" y1="${bottom}" y2="${bottom}"/>` +
    ticks.join("") + lines.join("");
}

const visit = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function download() {
  const answers = JSON.stringify({ page: pageText, visit, marked: marked() }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answers], { type: "application/json" }));
  link.download = `turing-${visit}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

boxes.forEach((box, at) => { box.checked = false; box.tabIndex = at ? -1 : 0; });
byId("tiles").addEventListener("keydown", onKey);
byId("tiles").addEventListener("change", tellMarks);
byId("tiles").addEventListener("focusin", (event) => { if (event.target.tabIndex < 0) goTo(boxes.indexOf(event.target)); });
byId("check").addEventListener("click", check);
byId("download").addEventListener("click", download);
drawTiles();
