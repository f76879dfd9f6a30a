// The page: a sentence with blanks in, candidates out. Text from people or the server goes into the document through
// textContent only. Nothing here needs a secure context: on the LAN the page is plain HTTP.

// ---------------------------------------------------------------- words

const dictionary = {
  zh: {
    title: '填空',
    tagline: '写一句话，留一个空，答案就在这里。',
    label: '句子',
    insert: '插入空',
    span: '每个空填几个字',
    spanAuto: '字数不限',
    span1: '一个字',
    span2: '两个字',
    span3: '三个字',
    span4: '四个字',
    ask: '填空',
    how: '这样写都是空：',
    examples: '试一试',
    answer: '填好的句子',
    copy: '复制',
    copied: '已复制',
    notCopied: '复制不了，请手动选中',
    together: '整句',
    blank: '空',
    blankNumber: '空 {number}',
    filled: '已填好：{text}',
    nothing: '没有找到这个长度的词。',
    release: '版本',
    fingerprint: '指纹',
    precision: '精度',
    exact: '精确',
    fast: '快速',
    elapsed: '用时',
    milliseconds: '{number} 毫秒',
    private: '句子只在这台设备上处理，不会发往互联网。',
    offline: '暂时连不上服务，恢复后会自动继续。',
    busy: '服务正忙，稍候会自动再试。',
    warming: '服务正在启动，就绪后会自动继续。',
    reference: '编号 {id}',
    unsigned: '开发模式：接受未签名的补丁',
    errors: {
      no_blank: '句子里还没有空。请在要填的地方写 [MASK]、____、【】或（　），也可以点“插入空”。',
      too_many_blanks: '空太多了，请少留几个。',
      text_too_long: '句子太长了，请截短后再试。',
      body_too_large: '内容太长了，请截短后再试。',
      forbidden_origin: '这个网址没有被允许提问。请改用本机地址，或请管理员把它加入 access.hosts。',
      forbidden_network: '这台电脑所在的网络没有被允许提问，请联系管理员。',
      request_timeout: '网络太慢，服务没有收全这句话，请再试一次。',
      internal: '服务出了点问题，请再试一次；若反复出现，请把编号告诉管理员。',
      mismatch: '这个页面和服务对不上，可能刚更新过。请刷新页面。',
    },
  },
  en: {
    title: 'Tiankong',
    tagline: 'Write a Chinese sentence, leave a blank, and see what fits.',
    label: 'Sentence',
    insert: 'Insert a blank',
    span: 'Characters in each blank',
    spanAuto: 'Any length',
    span1: '1 character',
    span2: '2 characters',
    span3: '3 characters',
    span4: '4 characters',
    ask: 'Fill in',
    how: 'Each of these is a blank:',
    examples: 'Try one',
    answer: 'The sentence, filled in',
    copy: 'Copy',
    copied: 'Copied',
    notCopied: 'Could not copy: please select it by hand',
    together: 'Whole sentence',
    blank: 'blank',
    blankNumber: 'Blank {number}',
    filled: 'Filled in: {text}',
    nothing: 'No word of this length was found.',
    release: 'Version',
    fingerprint: 'Fingerprint',
    precision: 'Precision',
    exact: 'exact',
    fast: 'fast',
    elapsed: 'Took',
    milliseconds: '{number} ms',
    private: 'Sentences are handled on this machine and never sent to the internet.',
    offline: 'The service cannot be reached just now. This continues by itself once it is back.',
    busy: 'The service is busy. Trying again by itself in a moment.',
    warming: 'The service is starting. This continues by itself once it is ready.',
    reference: 'Reference {id}',
    unsigned: 'Development mode: unsigned patches are accepted',
    errors: {
      no_blank: 'There is no blank in the sentence yet. Write [MASK], ____, 【】 or （　） where one should be, or use “Insert a blank”.',
      too_many_blanks: 'Those are too many blanks. Please leave fewer.',
      text_too_long: 'The sentence is too long. Please shorten it and try again.',
      body_too_large: 'The text is too long. Please shorten it and try again.',
      forbidden_origin: 'Questions from this address are not allowed. Use the machine’s own address, or ask the administrator to add this one to access.hosts.',
      forbidden_network: 'Questions from this network are not allowed. Please ask the administrator.',
      request_timeout: 'The network was too slow for the whole sentence to arrive. Please try again.',
      internal: 'Something went wrong in the service. Please try again; if it keeps happening, give the administrator the reference.',
      mismatch: 'This page and the service do not fit together, perhaps after an update. Please reload the page.',
    },
  },
};

const examples = [
  '春风又绿江南[MASK]', '画龙点[MASK]', '床前明月光，疑是地[MASK]霜',
  '温故而知[MASK]', '学而不思则[MASK]', '订单一直没[MASK]',
];

/** The text for `key` in the language shown, with `{name}` replaced from `values`. */
function word(key, values = {}) {
  return dictionary[state.language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// ---------------------------------------------------------------- blanks

// Brackets count when there is nothing but spaces in them.
const blankForms = /\[MASK\]|[_＿]{2,}|【\s*】|（\s*）|\(\s*\)/gi;

/** What stands in the sentence where nothing fits. */
const unfilled = '____';

/** Something like `main()`, which is no blank; `main( )` is one. */
function isCall(match) {
  return match[0] === '()' && /\w/.test(match.input[match.index - 1] ?? '');
}

/** Splits a text into pieces, `{text, isBlank}`, that give the text again when joined. */
function split(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(blankForms)) {
    if (isCall(match)) continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index), isBlank: false });
    pieces.push({ text: match[0], isBlank: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end), isBlank: false });
  return pieces;
}

/** The text as the service wants it: every blank written `[MASK]`, and no half of a surrogate pair. */
function forService(text) {
  const whole = text.replace(/\p{Surrogate}/gu, '\uFFFD'); // with `u`, only halves without a partner match
  return split(whole).map((piece) => (piece.isBlank ? '[MASK]' : piece.text)).join('').trim();
}

/** What stands before, between and after the blanks. Offsets in an answer count Unicode scalars, not UTF-16 units. */
function textAround(text, blanks) {
  const scalars = Array.from(text);
  const starts = [0, ...blanks.map((blank) => blank.end)];
  const ends = [...blanks.map((blank) => blank.start), scalars.length];
  return starts.map((start, index) => scalars.slice(start, ends[index]).join(''));
}

// ---------------------------------------------------------------- the service

const patience = 10_000; // ms until a silent service counts as unreachable
const longestWait = 30_000; // ms between two tries

/**
 * Asks once.
 *
 * @returns {Promise<{body: object} | {trouble: object} | {wait: number | null, why: string}>} an answer, an error that
 *   asking again will not mend, or why to ask again and after how many milliseconds, where the service said so.
 */
async function call(path, options = {}) {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), patience);
  const giveUp = () => timeout.abort();
  options.signal?.addEventListener('abort', giveUp);
  try {
    // The server words its messages by this header; the page's switch counts, not the browser's setting.
    const headers = { ...options.headers, 'Accept-Language': languageTag() };
    const response = await fetch(path, { ...options, headers, signal: timeout.signal, cache: 'no-store' });
    const body = await response.json().catch(() => null);
    if (response.ok && body) return { body };
    if ([429, 502, 503, 504].includes(response.status)) {
      const seconds = Number.parseFloat(response.headers.get('Retry-After'));
      const why = body?.error?.code === 'warming' || body?.status === 'warming' ? 'warming' : 'busy';
      return { wait: Number.isFinite(seconds) ? seconds * 1000 : null, why };
    }
    const id = body?.request_id ?? response.headers.get('X-Request-Id');
    return { trouble: { code: 'internal', ...body?.error, id } };
  } catch {
    return { wait: null, why: 'offline' };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', giveUp);
  }
}

/** Calls until there is an answer or an error; `null` when `signal` ended it first. `onWait` hears why it has to wait. */
async function callUntilAnswered(path, options, onWait) {
  const { signal } = options;
  for (let attempt = 0; ; attempt += 1) {
    const outcome = await call(path, options);
    if (signal.aborted) return null;
    if (!outcome.why) return outcome;
    onWait(outcome.why, attempt);
    await pause(Math.min(outcome.wait ?? 500 * 2 ** attempt, longestWait), signal);
    if (signal.aborted) return null;
  }
}

/** Waits, but not on when the network is back or the page is looked at again. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const end = () => { clearTimeout(timer); ended.abort(); resolve(); };
    const timer = setTimeout(end, Math.max(milliseconds, 200));
    signal.addEventListener('abort', end, { signal: ended.signal });
    addEventListener('online', end, { signal: ended.signal });
    document.addEventListener('visibilitychange', end, { signal: ended.signal });
  });
}

/** Asks for the candidates of the text in the input; a question still on its way is given up for it. */
async function ask() {
  clearTimeout(state.typing);
  const question = questionNow();
  state.asking?.abort();
  const asking = new AbortController();
  state.asking = asking;
  state.asked = question;
  const outcome = await callUntilAnswered('/v1/fill', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...question, top_k: 5 }),
    signal: asking.signal,
  }, (why, attempt) => {
    // One lost try is nobody's business; the page says something when there is a real wait, or nothing to look at yet.
    if (attempt > 0 || !state.answer) show({ waiting: why });
  });
  if (outcome === null) return;
  state.asking = null;
  if (outcome.trouble) {
    state.asked = null;
    show({ trouble: outcome.trouble, waiting: null });
    return;
  }
  show({ answer: understand(question, outcome.body), trouble: null, waiting: null });
  announce(word(state.answer.fills.includes(unfilled) ? 'nothing' : 'filled', { text: filledSentence() }));
  // The version changed under the page: the footer's other facts may be old too.
  if (outcome.body.version !== state.status?.version) learnStatus();
}

/** What the service is to be asked: the sentence, and how long its words are. */
function questionNow() {
  const span = element.span.value;
  return { text: forService(element.text.value), span: span === 'auto' ? span : Number(span) };
}

function isSame(one, other) {
  return one?.text === other?.text && one?.span === other?.span;
}

/** An answer with what the page needs besides: the question it belongs to, the text around its blanks, what is filled in. */
function understand(question, body) {
  const joint = body.joint ?? [];
  const best = joint[0]?.fills ?? body.blanks.map((blank) => blank.candidates[0]?.text ?? unfilled);
  return { ...body, question, around: textAround(question.text, body.blanks), joint, fills: best };
}

async function learnStatus() {
  state.learning?.abort();
  const learning = new AbortController();
  state.learning = learning;
  const outcome = await callUntilAnswered('/v1/status', { signal: learning.signal }, () => {});
  if (outcome?.body) show({ status: outcome.body });
}

// ---------------------------------------------------------------- state and what is shown of it

const element = Object.fromEntries(
  ['announcement', 'answer', 'blanks', 'copy', 'examples', 'facts', 'form', 'insert', 'language', 'mirror', 'note',
    'sentence', 'span', 'text', 'trouble', 'unsigned'].map((id) => [id, document.getElementById(id)]),
);

const state = {
  language: rememberedLanguage() ?? (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'),
  answer: null, // of `understand`
  trouble: null, // {code, message?, hint?, id?}
  waiting: null, // 'offline', 'busy', 'warming'
  status: null, // of /v1/status
  asked: null, // the question asked last
  asking: null, // the AbortController of the question on its way
  learning: null, // the same for the status
  typing: 0, // the timer that asks after a pause
};

/** Changes the state and shows it; what did not change is left alone, so that nothing flickers or loses focus. */
function show(change) {
  Object.assign(state, change);
  if ('trouble' in change) showTrouble();
  if ('waiting' in change) showNote();
  if ('answer' in change) showAnswer();
  if ('answer' in change || 'status' in change) showFacts();
  if ('status' in change) showUnsigned();
  showStale();
}

/** A new element with a class and a text. */
function make(tag, className = '', text = '') {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function showTrouble() {
  const { trouble } = state;
  element.trouble.hidden = !trouble;
  element.text.setAttribute('aria-invalid', String(Boolean(trouble)));
  if (!trouble) return element.trouble.replaceChildren();
  const plain = dictionary[state.language].errors;
  // Codes without words of their own are for programs: a page of the same version as the service never causes them.
  const lines = [make('p', '', plain[trouble.code] ?? plain.mismatch)];
  const detail = [trouble.message, trouble.hint].filter(Boolean).join(state.language === 'zh' ? '。' : '. ');
  if (detail) lines.push(make('p', '', detail));
  // People who can mend it themselves have no use for the number.
  if (trouble.id && (trouble.code === 'internal' || !plain[trouble.code])) lines.push(make('p', '', word('reference', { id: trouble.id })));
  element.trouble.replaceChildren(...lines);
}

/** Said in both languages at once: whoever reads either has to know. Said once: what did not change is not read out anew. */
function showUnsigned() {
  const isAllowed = state.status?.unsigned === 'allow';
  if (element.unsigned.hidden === !isAllowed) return;
  element.unsigned.hidden = !isAllowed;
  element.unsigned.replaceChildren(...(isAllowed ? ['zh', 'en'] : []).map((language) => {
    const said = make('span', '', dictionary[language].unsigned);
    said.lang = language === 'zh' ? 'zh-CN' : 'en';
    return said;
  }));
}

function showNote() {
  element.note.hidden = !state.waiting;
  element.note.textContent = state.waiting ? word(state.waiting) : '';
}

/** An answer to another text than the one in the input is shown a little paler. */
function showStale() {
  const isStale = state.answer !== null && !isSame(state.answer.question, questionNow());
  element.answer.classList.toggle('stale', isStale);
  element.answer.setAttribute('aria-busy', String(isStale && state.asking !== null));
}

function showMirror() {
  const pieces = split(element.text.value).map(({ text, isBlank }) => (isBlank ? make('mark', '', text) : text));
  // A last line break makes no line of its own without something after it.
  element.mirror.replaceChildren(...pieces, '\u200B');
}

function showAnswer() {
  const { answer } = state;
  element.answer.hidden = !answer;
  if (!answer) return;
  const several = answer.blanks.length > 1;
  const groups = answer.blanks.map((blank, index) => {
    const rows = blank.candidates.map((candidate) => {
      const choose = () => replaced(answer.fills, index, candidate.text);
      return candidateRow(`blank-${index}`, candidate.text, candidate.score, choose);
    });
    return group(several ? String(index + 1) : '', several ? word('blankNumber', { number: index + 1 }) : word('blank'), rows);
  });
  if (answer.joint.length > 0) groups.unshift(jointGroup(answer));
  element.blanks.replaceChildren(...groups);
  showFills();
}

function replaced(list, index, value) {
  const copy = [...list];
  copy[index] = value;
  return copy;
}

function jointGroup(answer) {
  const rows = answer.joint.map(({ fills, score }) => candidateRow('joint', fills.join(' · '), score, () => fills));
  const together = group('', word('together'), rows);
  together.classList.add('together');
  return together;
}

function group(number, name, rows) {
  const fieldset = make('fieldset');
  const legend = make('legend');
  if (number) {
    const badge = make('span', 'number', number);
    badge.setAttribute('aria-hidden', 'true');
    const spoken = make('span', 'unseen', name);
    legend.append(badge, spoken);
  } else {
    legend.textContent = name;
    // With one blank there is nothing to tell apart: the name is for screen readers.
    if (name === word('blank')) legend.className = 'unseen';
  }
  fieldset.append(legend, ...(rows.length > 0 ? rows : [make('p', 'nothing', word('nothing'))]));
  return fieldset;
}

/** One line: text, bar, percentage. `choose` gives the fills that go with it. */
function candidateRow(name, text, score, choose) {
  const row = make('label', 'candidate');
  const radio = make('input');
  radio.type = 'radio';
  radio.name = name;
  radio.choose = choose;
  radio.addEventListener('change', () => {
    state.answer.fills = choose();
    showFills();
    announce(word('filled', { text: filledSentence() }));
  });
  const shown = make('span', 'text', text);
  shown.lang = 'zh-CN';
  const track = make('span', 'track');
  const bar = make('span', 'bar');
  bar.style.inlineSize = `${100 * score}%`; // through the object model, which the content policy allows
  track.append(bar);
  row.append(radio, shown, track, make('span', 'percent', percent(score)));
  return row;
}

function percent(score) {
  const format = (value) => new Intl.NumberFormat(languageTag(), {
    style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1,
  }).format(value);
  if (score > 0 && score < 0.0005) return `<${format(0.001)}`;
  if (score < 1 && score >= 0.9995) return `>${format(0.999)}`;
  return format(score);
}

/** The sentence with what is chosen, and the radio buttons that go with it. */
function showFills() {
  const { around, fills } = state.answer;
  const several = fills.length > 1;
  const nodes = [around[0]];
  fills.forEach((text, index) => {
    const mark = make('mark', 'fill', text);
    if (several) mark.dataset.number = index + 1;
    nodes.push(mark, around[index + 1]);
  });
  element.sentence.replaceChildren(...nodes);
  element.sentence.classList.toggle('long', filledSentence().length > 60);
  for (const radio of element.blanks.querySelectorAll('input')) {
    radio.checked = radio.choose().every((text, index) => text === fills[index]);
  }
}

function filledSentence() {
  const { around, fills } = state.answer;
  return fills.reduce((sentence, fill, index) => sentence + fill + around[index + 1], around[0]);
}

function showFacts() {
  const { answer, status } = state;
  // An answer says which version gave it; until there is one, the status does.
  const { release, version } = answer ?? status ?? {};
  const facts = [
    ['release', release],
    ['fingerprint', version && shortFingerprint(version), version],
    ['precision', status && (dictionary[state.language][status.precision] ?? status.precision)],
    ['elapsed', answer && word('milliseconds', { number: answer.elapsed_ms.toFixed(1) })],
  ];
  element.facts.replaceChildren(...facts.filter(([, value]) => value).map(([key, value, title]) => {
    const fact = make('div');
    const shown = make('dd', '', value);
    if (title) shown.title = title;
    fact.append(make('dt', '', word(key)), shown);
    return fact;
  }));
}

function shortFingerprint(version) {
  return version.replace(/^sha256:/, '').slice(0, 12);
}

function showExamples() {
  element.examples.replaceChildren(...examples.map((example) => {
    const item = make('li');
    const button = make('button');
    button.type = 'button';
    button.lang = 'zh-CN';
    button.append(...split(example).map((piece) => (piece.isBlank ? gap() : piece.text)));
    button.addEventListener('click', () => {
      element.text.value = example;
      textChanged();
      ask();
      // On a phone the examples lie below the answer.
      element.form.scrollIntoView({ block: 'nearest' });
    });
    item.append(button);
    return item;
  }));
}

/** An empty place, for the eye; screen readers get its name. */
function gap() {
  const drawn = make('span', 'gap');
  drawn.append(make('span', 'unseen', word('blank')));
  return drawn;
}

/** Read out by screen readers, seen by nobody. */
function announce(text) {
  element.announcement.textContent = text;
}

// ---------------------------------------------------------------- what is remembered

/** Browsers may forbid storage altogether; then a choice holds until the page is closed. */
function remembered(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* as above */ }
}

// ---------------------------------------------------------------- language

function languageTag() {
  return state.language === 'zh' ? 'zh-CN' : 'en';
}

function rememberedLanguage() {
  const language = remembered('language');
  return language in dictionary ? language : null;
}

function switchLanguage() {
  state.language = state.language === 'zh' ? 'en' : 'zh';
  remember('language', state.language);
  showLanguage();
}

function showLanguage() {
  document.documentElement.lang = languageTag();
  document.title = word('title');
  for (const translated of document.querySelectorAll('[data-word]')) {
    translated.textContent = word(translated.dataset.word);
  }
  const other = state.language === 'zh' ? 'en' : 'zh';
  element.language.textContent = other === 'en' ? 'English' : '中文';
  element.language.lang = other;
  showExamples();
  showTrouble();
  showNote();
  showAnswer();
  showFacts();
}

// ---------------------------------------------------------------- what a person does

const pauseInTyping = 350; // ms

/** After every change of the input: tints the blanks, and asks once the typing pauses. */
function textChanged() {
  showMirror();
  if (state.trouble) show({ trouble: null });
  showStale();
  clearTimeout(state.typing);
  state.typing = setTimeout(askIfNew, pauseInTyping);
}

/** Asks by itself, but never complains by itself: a sentence without a blank may just not be finished. */
function askIfNew() {
  const question = questionNow();
  if (question.text.includes('[MASK]') && !isSame(question, state.asked)) ask();
}

function spanChosen() {
  remember('span', element.span.value);
  showStale();
  askIfNew();
}

function submit(event) {
  event.preventDefault();
  if (forService(element.text.value).includes('[MASK]')) return ask();
  clearTimeout(state.typing);
  show({ trouble: { code: 'no_blank' } });
  element.text.focus();
}

/** Enter asks, Shift and Enter breaks the line; the Enter that ends an input method's composition does neither. */
function keyPressed(event) {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  element.form.requestSubmit();
}

function insertBlank() {
  const { selectionStart, selectionEnd } = element.text;
  element.text.setRangeText('____', selectionStart, selectionEnd, 'end');
  element.text.focus();
  textChanged();
}

async function copySentence() {
  const copied = await copyText(filledSentence());
  const message = word(copied ? 'copied' : 'notCopied');
  element.copy.textContent = message;
  announce(message);
  setTimeout(() => { element.copy.textContent = word('copy'); }, 1600);
}

/** `navigator.clipboard` exists only over TLS and on localhost; the older way works on the LAN as well. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const carrier = make('textarea', 'unseen');
    carrier.value = text;
    document.body.append(carrier);
    carrier.select();
    const copied = document.execCommand('copy');
    carrier.remove();
    element.copy.focus();
    return copied;
  }
}

element.form.addEventListener('submit', submit);
element.text.addEventListener('keydown', keyPressed);
element.text.addEventListener('input', (event) => {
  // Half a word in an input method is not a pause in typing: its letters are shown, but not asked about.
  if (!event.isComposing) return textChanged();
  clearTimeout(state.typing);
  showMirror();
});
element.text.addEventListener('compositionend', textChanged);
element.insert.addEventListener('click', insertBlank);
element.span.addEventListener('change', spanChosen);
element.copy.addEventListener('click', copySentence);
element.language.addEventListener('click', switchLanguage);
document.addEventListener('visibilitychange', () => { if (!document.hidden) learnStatus(); });

element.span.value = remembered('span') ?? 'auto';
if (!element.span.value) element.span.value = 'auto'; // what is remembered is no choice of this page's
showLanguage();
textChanged(); // browsers keep what was typed when a page is reloaded
learnStatus();
// On a phone the keyboard would cover half the page before anybody asked for it.
if (matchMedia('(hover: hover)').matches) element.text.focus();
