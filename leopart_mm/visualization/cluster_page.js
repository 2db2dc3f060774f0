'use strict';
// The page's script: no library, nothing is fetched. `data` is written by ClusterPage (cluster_page.py), `state` is what a
// person may change: of every cluster a name, a colour, and whether it is background or hidden. Clusters of one name are
// one segment, as in the names file. Each cluster has a card; of a segment of several, only the first one's is visible.
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
const clusters = data.clusters;
const order = data.order;  // numbers of clusters that occur
const cards = new Map();
const selected = new Set();
const history = [];
let state = initialState();
let saved = JSON.stringify(state);
let groups = [];

function initialState() {
  const of = (key) => clusters.map((cluster) => cluster[key]);
  return {names: of('name'), colours: of('colour'), background: of('background'), hidden: of('hidden')};
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const percent = (share) => (100 * share).toFixed(share < 0.1 ? 2 : 1) + ' %';
const isDefault = (number) => /^cluster \d+$/.test(state.names[number]);
// Control characters have no place in a name; half characters cannot be stored.
const clean = (text) => (text.toWellFormed?.() ?? text).replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ').trim();
const status = (number) => (state.hidden[number] ? 'hidden' : state.background[number] ? 'background' : 'shown');

// ---- segments: clusters of one name ---------------------------------------------------------------------------------

function findGroups() {
  const found = new Map();
  for (const number of order) {
    const key = JSON.stringify([state.names[number], state.background[number], state.hidden[number]]);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(number);
  }
  groups = [...found.values()];
}

// All clusters of a segment, also those that occur in no image.
function membersOf(number) {
  return clusters.map((_, other) => other).filter((other) => state.names[other] === state.names[number] &&
    state.background[other] === state.background[number] && state.hidden[other] === state.hidden[number]);
}

const groupOf = (number) => groups.find((group) => group.includes(number)) || [number];

function change(text, edit) {
  const before = JSON.stringify(state);
  edit();
  if (JSON.stringify(state) === before) return;
  history.push(before);
  refresh();
  keepDraft();
  if (text) toast(text, true);
  else byId('toast').hidden = true;  // its Undo would undo this step
}

function undo() {
  if (!history.length) return;
  state = JSON.parse(history.pop());
  refresh();
  keepDraft();
}

function rename(number, text) {
  const members = membersOf(number);
  const name = clean(text) || `cluster ${number}`;
  const others = clusters.map((_, other) => other).filter((other) => state.names[other] === name && !members.includes(other));
  const together = [...members, ...others].filter((member) => order.includes(member)).length;
  change(others.length ? `“${name}” is one segment of ${together} clusters now.` : '', () => {
    members.forEach((member) => { state.names[member] = name; });
    if (others.length) unite([...others, ...members], others[0], name);
  });
}

// Give clusters one name, and the colour and status of one of them.
function unite(members, model, name) {
  const [colour, background, hidden] = [state.colours[model], state.background[model], state.hidden[model]];
  for (const member of members) {
    state.names[member] = name;
    state.colours[member] = colour;
    state.background[member] = background;
    state.hidden[member] = hidden;
  }
}

function mergeSelected() {
  findGroups();
  const members = groups.filter((group) => selected.has(group[0])).flat();
  const model = members.find((member) => !isDefault(member)) ?? members[0];
  // One that still has its number for a name takes it along: the name is what holds them together.
  const name = state.names[model];
  selected.clear();
  change(`${members.length} clusters are one segment now: “${name}”.`, () => unite(members, model, name));
  const card = cards.get(groupOf(model)[0]);
  card.scrollIntoView({block: 'nearest'});
  card.querySelector('.name').select();
}

function separate(number) {
  change(`Cluster ${number} is a segment of its own again.`, () => {
    state.names[number] = `cluster ${number}`;
    state.colours[number] = clusters[number].own;
  });
}

function setStatus(firsts, value) {
  const members = firsts.flatMap(membersOf);
  change('', () => {
    for (const member of members) {
      state.background[member] = value === 'background';
      state.hidden[member] = value === 'hidden';
    }
  });
}

// ---- cards ------------------------------------------------------------------------------------------------------------

function makeCard(number) {
  const name = element('input', {className: 'name', id: `name-${number}`, type: 'text', dir: 'auto', maxLength: 200,
    placeholder: `cluster ${number}`, autocomplete: 'off', spellcheck: true});
  name.setAttribute('aria-label', `Name of cluster ${number}`);
  name.setAttribute('list', 'known');
  name.addEventListener('focus', () => name.select());
  name.addEventListener('change', () => rename(number, name.value));
  name.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') nextName(number);
  });
  const colour = element('input', {type: 'color', id: `colour-${number}`, title: 'Colour in the pictures'});
  colour.setAttribute('aria-label', `Colour of cluster ${number}`);
  colour.addEventListener('input', () => {  // at once, but one step of undo: when the person is done
    colour.closest('.card').style.setProperty('--colour', colour.value);
    paint(new Map(groupOf(number).map((member) => [member, colour.value])));
  });
  colour.addEventListener('change', () => change('', () => {
    membersOf(number).forEach((member) => { state.colours[member] = colour.value; });
  }));
  const choose = element('input', {type: 'checkbox', id: `select-${number}`, title: 'Select, to merge it with others'});
  choose.setAttribute('aria-label', `Select cluster ${number}`);
  choose.addEventListener('change', () => {
    selected[choose.checked ? 'add' : 'delete'](number);
    refresh();
  });
  const states = element('div', {className: 'states'});
  states.setAttribute('role', 'radiogroup');
  states.setAttribute('aria-label', `What pictures show of cluster ${number}`);
  for (const [value, title, hint] of [['shown', 'Show', 'Painted in its colour'],
    ['background', 'Background', 'Darkened in the pictures, left out of exports'],
    ['hidden', 'Hide', 'Not painted, left out of exports']]) {
    const radio = element('input', {type: 'radio', name: `state-${number}`, value, id: `${value}-${number}`});
    radio.addEventListener('change', () => setStatus([number], value));
    states.append(element('label', {title: hint}, radio, element('span', {textContent: title})));
  }
  const card = element('section', {className: 'card', id: `card-${number}`},
    element('div', {className: 'line'}, choose, name, colour),
    element('div', {className: 'line'}, element('span', {className: 'facts'}), states),
    element('div', {className: 'examples'}));
  return card;
}

function pictureOf(number) {
  const cluster = clusters[number];
  if (!cluster.picture) {
    cluster.picture = element('img', {src: cluster.examples, alt: `Examples of cluster ${number}`});
    cluster.picture.style.width = cluster.width + '%';
  }
  return cluster.picture;
}

function showCard(card, members) {
  const first = members[0];
  const value = status(first);
  card.style.setProperty('--colour', state.colours[first]);
  card.classList.toggle('background', value === 'background');
  card.classList.toggle('hidden-one', value === 'hidden');
  card.classList.toggle('selected', selected.has(first));
  const name = card.querySelector('.name');
  name.value = state.names[first];
  name.classList.toggle('plain', isDefault(first));
  card.querySelector('input[type=color]').value = state.colours[first];
  card.querySelector('input[type=checkbox]').checked = selected.has(first);
  byId(`${value}-${first}`).checked = true;
  const share = members.reduce((sum, member) => sum + clusters[member].share, 0);
  const images = clusters[first].images;
  card.querySelector('.facts').textContent = members.length > 1 ?
    `${members.length} clusters · ${percent(share)}` :
    `no. ${first} · ${percent(share)} · ${images} image${images === 1 ? '' : 's'}`;
  card.querySelector('.examples').replaceChildren(...members.map((member) => {
    if (members.length === 1) return pictureOf(member);
    const button = element('button', {textContent: 'Separate', id: `separate-${member}`,
      title: `Make cluster ${member} a segment of its own again`});
    button.addEventListener('click', () => separate(member));
    return element('div', {}, element('div', {className: 'part'},
      element('small', {textContent: `cluster ${member} · ${percent(clusters[member].share)}`}), button), pictureOf(member));
  }));
}

function nextName(number) {
  const inputs = [...document.querySelectorAll('.card:not([hidden]) .name')];
  const place = inputs.indexOf(byId(`name-${number}`));
  if (place >= 0 && inputs[place + 1]) inputs[place + 1].focus();
  else byId(`name-${number}`).blur();
}

// ---- the list of cards --------------------------------------------------------------------------------------------

function sorted() {
  const key = byId('sort').value;
  const share = (group) => group.reduce((sum, member) => sum + clusters[member].share, 0);
  const list = [...groups];
  if (key === 'share') list.sort((one, other) => share(other) - share(one));
  if (key === 'number') list.sort((one, other) => Math.min(...one) - Math.min(...other));
  if (key === 'unnamed') list.sort((one, other) => isDefault(other[0]) - isDefault(one[0]));
  return list;
}

function layOut() {
  const list = byId('list');
  const byCommunity = byId('sort').value === 'community';
  list.replaceChildren();
  let current = null;
  let rows = null;
  for (const [first] of sorted()) {
    const community = byCommunity ? clusters[first].community : '';
    if (rows === null || community !== current) {
      current = community;
      rows = element('div', {className: 'cards'});
      if (byCommunity) list.append(communityHeading(community));
      list.append(rows);
    }
    rows.append(cards.get(first));
  }
}

function communityHeading(community) {
  const members = order.filter((number) => clusters[number].community === community);
  const share = members.reduce((sum, number) => sum + clusters[number].share, 0);
  const button = element('button', {textContent: 'Select all'});
  button.addEventListener('click', () => {
    groups.filter((group) => clusters[group[0]].community === community).forEach(([first]) => selected.add(first));
    refresh();
  });
  return element('h2', {}, element('span', {textContent: `Community ${community}`, dir: 'auto'}),
    element('small', {textContent: `${members.length} cluster${members.length === 1 ? '' : 's'} that often touch · ` +
      percent(share)}), button);
}

// While a button of the mouse is down nothing moves: a click that ends the typing of a name would miss its aim.
let pressed = false;
let late = false;

function release() {
  pressed = false;
  if (late) setTimeout(refresh);  // after the click
}

function refresh() {
  late = pressed;
  if (pressed) return;
  findGroups();
  const firsts = new Set(groups.map((group) => group[0]));
  [...selected].filter((number) => !firsts.has(number)).forEach((number) => selected.delete(number));
  const words = byId('search').value.trim().toLowerCase();
  const withHidden = byId('with-hidden').checked;
  const visible = new Set();
  for (const group of groups) {
    const first = group[0];
    showCard(cards.get(first), group);
    const fits = !words || state.names[first].toLowerCase().includes(words) || group.some((member) => String(member) === words);
    if (fits && (withHidden || !state.hidden[first])) visible.add(first);
  }
  cards.forEach((card, number) => { card.hidden = !visible.has(number); });
  document.querySelectorAll('#list h2').forEach((heading) => {
    heading.hidden = !heading.nextElementSibling.querySelector('.card:not([hidden])');
  });
  byId('none').hidden = visible.size > 0;
  const named = groups.filter((group) => !isDefault(group[0])).length;
  byId('progress').textContent = `${named} of ${groups.length} named`;
  byId('known').replaceChildren(...[...new Set(groups.map((group) => group[0]).filter((first) => !isDefault(first)).map(
    (first) => state.names[first]))].map((value) => element('option', {value})));
  byId('undo').disabled = !history.length;
  byId('selection').hidden = !selected.size;
  byId('count').textContent = `${selected.size} selected`;
  byId('merge').disabled = selected.size < 2;
  byId('save').textContent = changed() ? 'Save names …' : 'Names file …';
  const someHidden = order.filter((number) => state.hidden[number]).length;
  byId('hidden-count').textContent = `hidden ones (${someHidden})`;
  if (byId('save-dialog').open) byId('text').value = namesFile();
  paint();
}

function reveal(number) {
  const first = groupOf(number)[0];
  const card = cards.get(first);
  if (!card) return;
  if (card.hidden) {
    byId('search').value = '';
    byId('with-hidden').checked = true;
    refresh();
  }
  card.scrollIntoView({block: 'center', behavior: 'smooth'});
  card.classList.remove('found');
  void card.offsetWidth;  // restarts the animation
  card.classList.add('found');
}

// ---- example images, painted as the next run will paint them ----------------------------------------------------------

const previews = [];

function readRuns(text, count) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const labels = new Uint16Array(count);
  let place = 0;
  for (let at = 0; at < bytes.length; at += 4) {
    const length = view.getUint16(at + 2, true);
    labels.fill(view.getUint16(at, true), place, place + length);
    place += length;
  }
  return labels;
}

async function makePreview({image, width, height, runs}) {
  const picture = element('img', {src: image});
  await picture.decode();
  const canvas = element('canvas', {width, height});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(picture, 0, 0, width, height);
  const labels = readRuns(runs, width * height);
  const labelAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.min(width - 1, Math.max(0, Math.floor((event.clientX - box.left) * width / box.width)));
    const y = Math.min(height - 1, Math.max(0, Math.floor((event.clientY - box.top) * height / box.height)));
    return labels[y * width + x];
  };
  canvas.addEventListener('mousemove', (event) => {
    const label = labelAt(event);
    byId('under').textContent = label < clusters.length ? state.names[label] : 'no data';
  });
  canvas.addEventListener('mouseleave', () => { byId('under').textContent = byId('under').dataset.hint; });
  canvas.addEventListener('click', (event) => reveal(labelAt(event)));
  byId('previews').append(canvas);
  return {context, labels, width, height, pixels: context.getImageData(0, 0, width, height)};
}

function paint(colours = new Map()) {
  const group = new Uint16Array(65536).fill(65535);
  groups.forEach((members, index) => members.forEach((member) => { group[member] = index; }));
  const looks = groups.map(([first]) => {
    const hex = colours.get(first) ?? state.colours[first];
    return {what: status(first), rgb: [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16))};
  });
  looks[65535] = {what: 'hidden', rgb: [0, 0, 0]};
  for (const {context, labels, width, height, pixels} of previews) {
    const drawn = new ImageData(width, height);
    // Borders separate segments that look different: background and what is hidden are one each.
    const kind = (place) => {
      const index = group[labels[place]];
      return looks[index].what === 'shown' ? index : looks[index].what;
    };
    for (let y = 0, place = 0; y < height; y++) {
      for (let x = 0; x < width; x++, place++) {
        const {what, rgb} = looks[group[labels[place]]];
        const here = kind(place);
        const border = (x + 1 < width && kind(place + 1) !== here) || (y + 1 < height && kind(place + width) !== here);
        for (let channel = 0; channel < 3; channel++) {
          let value = pixels.data[4 * place + channel];
          if (what === 'shown') value = value * (1 - data.alpha) + rgb[channel] * data.alpha;
          if (what === 'background') value *= data.darkness;
          drawn.data[4 * place + channel] = border ? 0.35 * value : value;
        }
        drawn.data[4 * place + 3] = 255;
      }
    }
    context.putImageData(drawn, 0, 0);
  }
}

// ---- the names file -----------------------------------------------------------------------------------------------------

const changed = () => JSON.stringify(state) !== saved;

function namesFile() {
  const inOneLine = (entry) => {
    const text = Object.entries(entry).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(', ');
    return `{${text}}`.replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
      (letter) => '\\u' + letter.charCodeAt(0).toString(16).padStart(4, '0'));
  };
  const lines = [];
  if (data.model) lines.push(`model: "${data.model}"  # the model whose clusters these are`);
  for (const flag of ['background', 'hidden']) {
    const numbers = clusters.map((_, number) => number).filter((number) => state[flag][number]);
    if (numbers.length) lines.push(`${flag}: [${numbers.join(', ')}]`);
  }
  lines.push('clusters:');
  clusters.forEach((cluster, number) => lines.push(`  ${number}: ` + inOneLine({name: state.names[number],
    colour: state.colours[number], share: (100 * cluster.share).toFixed(2) + ' %'})));
  return data.header + lines.join('\n') + '\n';
}

function markSaved(text) {
  saved = JSON.stringify(state);
  byId('save').textContent = 'Names file …';
  toast(text, false);
}

function openSave() {
  byId('text').value = namesFile();
  byId('to-folder').hidden = !window.showSaveFilePicker;
  byId('save-dialog').showModal();
}

function download() {
  const link = element('a', {download: 'names.yaml',
    href: URL.createObjectURL(new Blob([namesFile()], {type: 'application/x-yaml'}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  markSaved('names.yaml lies among your downloads. Move it into the folder of this page.');
}

async function saveToFolder() {
  try {
    const file = await window.showSaveFilePicker({suggestedName: 'names.yaml',
      types: [{description: 'Names file', accept: {'application/x-yaml': ['.yaml']}}]});
    const stream = await file.createWritable();
    await stream.write(namesFile());
    await stream.close();
    markSaved('Saved. Run the same command again, and the pictures show it.');
  } catch (error) {
    if (error.name !== 'AbortError') toast(`This browser could not write the file (${error.message}); download it.`, false);
  }
}

async function copy() {
  const area = byId('text');
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {
    area.select();
    document.execCommand('copy');
  }
  markSaved('Copied. Paste it into names.yaml, in the folder of this page.');
}

// A draft of what was not saved waits in the browser, for this very page and no other.
const draftKey = 'leopart_mm names ' + [...(data.model + saved)].reduce(
  (sum, letter) => (Math.imul(sum, 31) + letter.codePointAt(0)) | 0, 7);

function keepDraft() {
  try {
    localStorage.setItem(draftKey, JSON.stringify(state));
  } catch { /* the browser stores nothing: the draft is a convenience */ }
}

function readDraft() {
  try {
    const draft = JSON.parse(localStorage.getItem(draftKey));
    const whole = draft && Object.keys(state).every((key) => draft[key]?.length === clusters.length);
    if (!whole || JSON.stringify(draft) === saved) return;
    history.push(saved);
    state = draft;
    toast('Your changes from last time are here again.', true);
  } catch { /* no draft */ }
}

let toastTimer;
function toast(text, withUndo) {
  byId('toast-text').textContent = text;
  byId('toast-undo').hidden = !withUndo;
  byId('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId('toast').hidden = true; }, 8000);
  const open = document.querySelector('dialog[open]');
  (open ?? document.body).append(byId('toast'));  // a dialog lies above everything else
}

// ---- start ----------------------------------------------------------------------------------------------------------------

for (const number of order) cards.set(number, makeCard(number));
const on = (id, event, action) => byId(id).addEventListener(event, action);
on('search', 'input', refresh);
on('sort', 'change', () => { layOut(); refresh(); });
on('with-hidden', 'change', refresh);
on('undo', 'click', undo);
on('toast-undo', 'click', () => { byId('toast').hidden = true; undo(); });
on('merge', 'click', mergeSelected);
on('clear', 'click', () => { selected.clear(); refresh(); });
for (const value of ['shown', 'background', 'hidden']) {
  on(`all-${value}`, 'click', () => {
    const firsts = [...selected];
    selected.clear();
    setStatus(firsts, value);
    refresh();
  });
}
on('save', 'click', openSave);
on('download', 'click', download);
on('to-folder', 'click', saveToFolder);
on('copy', 'click', copy);
on('close', 'click', () => byId('save-dialog').close());
document.addEventListener('pointerdown', (event) => {
  pressed = !event.target.closest('select');  // whose list swallows the end of the press
  setTimeout(release, 2000);
}, true);
for (const end of ['pointerup', 'pointercancel', 'dragend']) document.addEventListener(end, release, true);
document.addEventListener('keydown', (event) => {
  const typing = event.target.matches('input[type=text], input[type=search], textarea');
  if ((event.ctrlKey || event.metaKey) && event.key === 'z' && !typing) {
    event.preventDefault();
    undo();
  }
});
window.addEventListener('beforeunload', (event) => { if (changed()) event.preventDefault(); });
byId('under').textContent = byId('under').dataset.hint;
readDraft();
findGroups();
for (const number of order) byId('pool').append(cards.get(number));
layOut();
refresh();
Promise.all(data.previews.map(makePreview)).then((made) => {
  previews.push(...made);
  paint();
  document.body.dataset.ready = 'yes';
});
