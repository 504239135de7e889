// What a page has, asked from an isolated world: the page's own scripts share its elements, and no variable with this.
// Everything that this returns is the page's word: text for the model, nothing more.
(globalThis.officePage ??= (() => {
  const known = [];  // The elements of the newest state, by index.
  const ROLES = new Set(['button', 'link', 'checkbox', 'radio', 'tab', 'menuitem', 'menuitemcheckbox', 'menuitemradio',
    'option', 'switch', 'textbox', 'combobox', 'searchbox', 'slider', 'spinbutton', 'treeitem']);
  const TAGS = new Set(['a', 'button', 'input', 'select', 'textarea', 'summary', 'label']);
  const MARGIN = 1000;  // Pixels around the window whose elements are listed too.
  const BLOCKS = new Set(['address', 'article', 'aside', 'blockquote', 'dd', 'details', 'dialog', 'div', 'dl', 'dt',
    'fieldset', 'figure', 'footer', 'form', 'header', 'hr', 'li', 'main', 'nav', 'ol', 'p', 'pre', 'section', 'summary',
    'table', 'tr', 'ul', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6']);
  const SKIPPED = new Set(['script', 'style', 'noscript', 'template', 'svg', 'head', 'iframe', 'object']);
  const squeezed = text => (text ?? '').replace(/\s+/g, ' ').trim();
  const tagOf = element => element.localName;

  function* elements(root, dx, dy) {
    // Depth first, through open shadow roots and frames of the same site.
    for (const element of root.children) {
      yield [element, dx, dy];
      if (element.shadowRoot) yield* elements(element.shadowRoot, dx, dy);
      if (tagOf(element) === 'iframe') {
        let inner = null;
        try { inner = element.contentDocument; } catch { /* another site's */ }
        if (inner?.documentElement) {
          const box = element.getBoundingClientRect();
          yield* elements(inner, dx + box.x + element.clientLeft, dy + box.y + element.clientTop);
        }
      }
      yield* elements(element, dx, dy);
    }
  }

  function interactive(element) {
    const tag = tagOf(element);
    if (tag === 'a') return element.hasAttribute('href') || element.hasAttribute('onclick');
    if (tag === 'input') return element.type !== 'hidden';
    if (tag === 'label') return element.control !== null;
    return TAGS.has(tag) || ROLES.has(element.getAttribute('role')) || element.hasAttribute('onclick')
      || element.isContentEditable && !element.parentElement?.isContentEditable
      || element.hasAttribute('tabindex') && element.tabIndex >= 0;
  }

  function shown(element) {
    return element.checkVisibility({opacityProperty: true, visibilityProperty: true}) && element.getClientRects().length > 0;
  }

  function described(element, index) {
    const tag = tagOf(element);
    const found = {index, tag, text: squeezed(element.innerText ?? element.textContent).slice(0, 100)};
    if (element.getAttribute('placeholder')) found.placeholder = element.getAttribute('placeholder').slice(0, 100);
    if (element.getAttribute('href')) found.href = element.getAttribute('href').slice(0, 500);
    const name = squeezed(element.getAttribute('aria-label') || element.labels?.[0]?.innerText || element.title);
    if (name && name !== found.text) found.label = name.slice(0, 100);
    if (tag === 'input') {
      found.type = element.type;
      if (['checkbox', 'radio'].includes(element.type)) found.checked = element.checked;
      else if (element.type !== 'password' && element.value) found.value = element.value.slice(0, 100);
    }
    if (tag === 'textarea' && element.value) found.value = element.value.slice(0, 100);
    if (tag === 'select') {
      found.text = squeezed(element.selectedOptions[0]?.label).slice(0, 100);
      found.options = [...element.options].slice(0, 20).map(option => squeezed(option.label).slice(0, 60));
    }
    if (element.disabled) found.disabled = true;
    return found;
  }

  function state(most) {
    known.length = 0;
    const listed = [];
    for (const [element, dx, dy] of elements(document, 0, 0)) {
      if (listed.length >= most) break;
      if (!interactive(element) || !shown(element)) continue;
      const box = element.getBoundingClientRect();
      if (box.bottom + dy < -MARGIN || box.top + dy > innerHeight + MARGIN) continue;
      known.push(element);
      listed.push(described(element, known.length));
    }
    const page = document.scrollingElement ?? document.documentElement;
    return {
      title: document.title.slice(0, 500),
      interactive_elements: listed,
      viewport: {width: innerWidth, height: innerHeight},
      page: {width: page.scrollWidth, height: page.scrollHeight},
      scroll: {x: Math.round(scrollX), y: Math.round(scrollY)},
    };
  }

  const at = index => known[index - 1]?.isConnected ? known[index - 1] : null;

  function place(element) {
    // The middle of its first box in the window, where a mouse would reach it; else null.
    element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
    const box = [...element.getClientRects()].find(b => b.width > 0 && b.height > 0);
    if (!box) return null;
    let [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const hit = element.getRootNode().elementFromPoint(x, y);
    if (!hit || !(hit === element || element.contains(hit) || hit.contains(element))) return null;
    for (let view = element.ownerDocument.defaultView; view !== globalThis && view?.frameElement; view = view.parent) {
      const frame = view.frameElement.getBoundingClientRect();
      x += frame.x + view.frameElement.clientLeft;
      y += frame.y + view.frameElement.clientTop;
    }
    return {x, y};
  }

  function click(index) {
    const element = at(index);
    if (!element) return {missing: true};
    const point = place(element);
    if (point) return point;
    element.click();  // Something lies over it: a person would not reach it, a script does.
    return {};
  }

  const link = index => {
    const element = at(index);
    return element ? {href: element.href || ''} : {missing: true};
  };

  function change(element, value) {
    // Through the element's own setter, so that frameworks that watch it notice.
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(element), 'value').set.call(element, value);
    element.dispatchEvent(new Event('input', {bubbles: true}));
    element.dispatchEvent(new Event('change', {bubbles: true}));
  }

  function type(index, text) {
    // What is left to do: nothing, or to insert the text where the focus now is.
    const element = at(index);
    if (!element) return {missing: true};
    const tag = tagOf(element);
    if (tag === 'select') {
      const wanted = squeezed(text).toLowerCase();
      const option = [...element.options].find(
        o => squeezed(o.label).toLowerCase() === wanted || o.value.toLowerCase() === wanted);
      if (!option) {
        const labels = [...element.options].slice(0, 20).map(o => squeezed(o.label).slice(0, 60));
        return {refused: `it has the options ${labels.join(', ')}`};
      }
      change(element, option.value);
      return {};
    }
    const field = tag === 'label' ? element.control : element;
    if (!field || field.disabled || field.readOnly) return {refused: 'nothing can be typed there'};
    if (tagOf(field) === 'input') {
      if (['checkbox', 'radio', 'button', 'submit', 'reset', 'image', 'file'].includes(field.type)) {
        return {refused: `it is of type ${field.type}`};
      }
      if (['date', 'time', 'month', 'week', 'datetime-local', 'color', 'range'].includes(field.type)) {
        change(field, text.trim());
        return field.value ? {} : {refused: `it takes no such ${field.type}`};
      }
    } else if (tagOf(field) !== 'textarea' && !field.isContentEditable) return {refused: 'nothing can be typed there'};
    field.scrollIntoView({block: 'center', behavior: 'instant'});
    field.focus();
    if (field.select) field.select();
    else field.ownerDocument.getSelection().selectAllChildren(field);
    return {insert: true, lines: tagOf(field) !== 'input'};
  }

  function scroll(pixels) {
    const page = document.scrollingElement ?? document.documentElement;
    let target = page;
    if (page.scrollHeight <= page.clientHeight) {
      for (let e = document.elementFromPoint(innerWidth / 2, innerHeight / 2); e; e = e.parentElement) {
        if (e.scrollHeight > e.clientHeight && /auto|scroll/.test(getComputedStyle(e).overflowY)) { target = e; break; }
      }
    }
    target.scrollBy({top: pixels, behavior: 'instant'});
    return {};
  }

  function content(links) {
    // Markdown of what is shown: headings, paragraphs, lists, tables, code, and links where wanted.
    const parts = [];
    const add = text => parts.push(text);
    function inline(node) {
      if (node.nodeType === Node.TEXT_NODE) return node.data.replace(/\s+/g, ' ');
      if (node.nodeType !== Node.ELEMENT_NODE || SKIPPED.has(tagOf(node)) || !node.checkVisibility()) return '';
      const tag = tagOf(node);
      if (tag === 'br') return '\n';
      if (tag === 'img') return node.alt ? `![${squeezed(node.alt)}]` : '';
      if (['input', 'select', 'textarea'].includes(tag)) return '';
      const inner = [...(node.shadowRoot ?? node).childNodes].map(inline).join('');
      if (!inner.trim()) return inner;
      if (tag === 'a' && links && node.href) return `[${inner.trim()}](${node.getAttribute('href')})`;
      if (tag === 'strong' || tag === 'b') return `**${inner.trim()}**`;
      if (tag === 'em' || tag === 'i') return `*${inner.trim()}*`;
      if (tag === 'code') return '`' + inner.trim() + '`';
      return inner;
    }
    const blocky = node => node.nodeType === Node.ELEMENT_NODE
      && (BLOCKS.has(tagOf(node)) || node.shadowRoot || [...node.children].some(blocky));
    function block(node, indent) {
      if (node.nodeType !== Node.ELEMENT_NODE || SKIPPED.has(tagOf(node)) || !node.checkVisibility()) return;
      const tag = tagOf(node);
      if (/^h[1-6]$/.test(tag)) return add(`\n${'#'.repeat(+tag[1])} ${squeezed(inline(node))}\n`);
      if (tag === 'hr') return add('\n---\n');
      if (tag === 'pre') return add('\n```\n' + node.innerText + '\n```\n');
      if (tag === 'table') {
        let first = true;
        add('');
        for (const row of node.rows) {
          const cells = [...row.cells].map(cell => squeezed(inline(cell)).replaceAll('|', '\\|'));
          add(`${indent}| ${cells.join(' | ')} |`);
          if (first) add(`${indent}|${cells.map(() => ' --- |').join('')}`);
          first = false;
        }
        return add('');
      }
      const marker = tag !== 'li' ? '' : node.parentElement && tagOf(node.parentElement) === 'ol'
        ? `${[...node.parentElement.children].indexOf(node) + 1}. ` : '- ';
      let line = '';
      let mark = marker;
      const flush = () => {
        const text = line.split('\n').map(squeezed).filter(Boolean).join('\n' + indent);
        if (text) { add(indent + mark + text); mark = ' '.repeat(marker.length); }
        line = '';
      };
      for (const child of (node.shadowRoot ?? node).childNodes) {
        if (blocky(child)) { flush(); block(child, indent + ' '.repeat(marker.length)); }
        else line += inline(child);
      }
      flush();
      if (['p', 'ul', 'ol', 'blockquote', 'section', 'article'].includes(tag)) add('');
    }
    block(document.body ?? document.documentElement, '');
    return {
      html: document.documentElement.outerHTML.length,
      text: parts.join('\n').replace(/\n{3,}/g, '\n\n').trim(),
    };
  }

  function stored() {
    const all = storage => Object.entries(storage).slice(0, 500).map(([name, value]) => ({name, value}));
    try {
      return {origin: location.origin, localStorage: all(localStorage), sessionStorage: all(sessionStorage)};
    } catch {
      return {};  // about:blank and the like have none.
    }
  }

  const quiet = (still, most) => new Promise(resolve => {
    // Until nothing has changed for `still` milliseconds, or `most` are over.
    let timer;
    const over = () => { observer.disconnect(); clearTimeout(timer); resolve({}); };
    const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(over, still); });
    observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
    timer = setTimeout(over, still);
    setTimeout(over, most);
  });

  return {state, click, link, type, scroll, content, stored, quiet};
})())
