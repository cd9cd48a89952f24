// Injected into a copy of a page: says what is cut off and what was loaded, to the page around it.
window.addEventListener('load', () => {
  const faults = [];
  const name = e => `${e.tagName}.${e.getAttribute('class') || ''} "${e.textContent.trim().slice(0, 30)}"`;
  const page = document.documentElement;
  const width = page.clientWidth;
  if (page.scrollWidth > width) faults.push(`the page scrolls sideways: ${page.scrollWidth} > ${width}`);
  let elements = 0;
  for (const e of document.body.querySelectorAll('*')) {
    if (e.closest('svg')) continue;
    elements += 1;
    const style = getComputedStyle(e);
    const scrolls = e.matches('.wide') && style.overflowX === 'auto';
    // Inline elements have no client width of their own.
    if (e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && !scrolls)
      faults.push(`${name(e)} is ${e.scrollWidth} wide in ${e.clientWidth}`);
    if (style.overflowY !== 'visible' && e.scrollHeight > e.clientHeight + 1)
      faults.push(`${name(e)} is ${e.scrollHeight} high in ${e.clientHeight}`);
    const box = e.getBoundingClientRect();
    if (!e.closest('.wide table') && box.width > 0 && (box.right > width + 1 || box.left < -1))
      faults.push(`${name(e)} lies from ${box.left} to ${box.right}`);
  }
  let texts = 0;
  for (const svg of document.querySelectorAll('svg')) {
    const outer = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()]);
    texts += boxes.length;
    boxes.forEach(([text, box], i) => {
      if (box.left < outer.left - 0.5 || box.right > outer.right + 0.5 || box.top < outer.top - 0.5 ||
          box.bottom > outer.bottom + 0.5)
        faults.push(`${name(text)} leaves the picture ${svg.getAttribute('aria-label')}`);
      for (const [other, its] of boxes.slice(i + 1)) {
        const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        // Boxes hold the line height: letters have more room than these.
        if (wide > 1 && high > box.height * 0.3)
          faults.push(`${name(text)} lies on ${name(other)} in ${svg.getAttribute('aria-label')}`);
      }
    });
  }
  const images = [...document.images];
  for (const image of images) if (!(image.naturalWidth > 0)) faults.push(`${name(image)} shows nothing`);
  for (const entry of performance.getEntriesByType('resource')) faults.push(`loaded ${entry.name}`);
  if (window.hacked) faults.push(`text was run as a script: ${window.hacked}`);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const back = document.querySelector('svg rect');
  const fill = back ? getComputedStyle(back).fill : 'none';
  const counts = `width=${width} dark=${dark} fill=${fill} elements=${elements} texts=${texts} images=${images.length}`;
  parent.postMessage([location.pathname, counts, ...faults.slice(0, 40)].join('\u241F'), '*');
});
