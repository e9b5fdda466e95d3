// SPDX-License-Identifier: BSD-3-Clause
// What is wrong with how the page looks in this window, as a list of sentences. The test runs it; no page has a script.
(() => {
	const wrong = [], seen = new Set();
	const say = (what) => { if (!seen.has(what) && seen.size < 20) { seen.add(what); wrong.push(what); } };
	const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.getAttribute("class") ? "." + e.getAttribute("class") : "");
	const shown = (e) => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && getComputedStyle(e).visibility !== "hidden"; };

	if (document.documentElement.scrollWidth > innerWidth)
		say(`the page is ${document.documentElement.scrollWidth} px wide, the window ${innerWidth}`);

	// Colours, as what is under them lets them be seen.
	const rgb = (text) => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const colour = rgb(getComputedStyle(e).backgroundColor);
			if (colour[3] === 1)
				return colour;
			if (colour[3] > 0)
				return null; // half transparent: there is none in these pages
		}
		return [255, 255, 255, 1];
	};
	const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };

	for (const e of document.querySelectorAll("body *")) {
		const svg = e.ownerSVGElement;
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
		if (!text || !shown(e) || ["TITLE", "title", "STYLE"].includes(e.tagName))
			continue;
		const style = getComputedStyle(e), box = e.getBoundingClientRect();
		const size = parseFloat(style.fontSize) * (svg ? svg.getScreenCTM().a : 1);
		if (size < 11.99)
			say(`${name(e)}: text of ${size.toFixed(1)} px: ${text.slice(0, 30)}`);
		if (box.left < -0.5 || box.right > innerWidth + 0.5)
			say(`${name(e)}: from ${box.left.toFixed()} to ${box.right.toFixed()} px: ${text.slice(0, 30)}`);
		if (!svg && e.scrollWidth > e.clientWidth + 1 && style.display !== "inline")
			say(`${name(e)}: its text is wider than it is: ${text.slice(0, 30)}`);
		const back = ground(svg ? svg.parentElement : e);
		const ratio = back ? contrast(rgb(svg ? style.fill : style.color), back) : 0;
		if (ratio < 4.5)
			say(`${name(e)}: contrast of ${ratio.toFixed(2)}: ${text.slice(0, 30)}`);
	}

	// Labels of the picture do not lie on each other.
	const labels = [...document.querySelectorAll("svg .label")].filter((e) => e.textContent).map((e) => e.getBoundingClientRect());
	labels.forEach((a, i) => labels.slice(i + 1).forEach((b) => {
		if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
			say("two labels of the picture lie on each other");
	}));
	return wrong;
})()
