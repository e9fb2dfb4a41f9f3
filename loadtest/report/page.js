// Draws the charts that report.WritePage put into the page, with uPlot.
'use strict';
{
	const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
	const strokes = ['#3b82f6', '#f97316', '#ef4444', '#10b981', '#a855f7', '#eab308'];
	const short = v => v == null ? '–' : v >= 1e6 ? +(v / 1e6).toPrecision(3) + ' M' : v >= 1e4 ? +(v / 1e3).toPrecision(3) + ' k' : +v.toPrecision(3) + '';
	// 1 ÷ (1 − quantile) as the percentile it stands for.
	const percentile = x => x == null ? '–' : +(100 * (1 - 1 / x)).toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 1)) + ' %';
	const powers = (u, axis, min, max) => {
		const all = [];
		for (let v = 10 ** Math.floor(Math.log10(min)); v <= max * 1.0001; v *= 10) if (v >= min * 0.9999) all.push(v);
		return all;
	};

	const draw = (chart, box) => {
		const data = uPlot.join(chart.tables.map(t => [t.x, ...t.y]));
		const names = chart.tables.flatMap(t => t.names);
		const axis = { stroke: colour('--dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } };
		return new uPlot({
			title: chart.title + ', ' + chart.unit,
			width: box.clientWidth - 20,
			height: 260,
			scales: { x: { time: false, distr: chart.curve ? 3 : 1 }, y: { distr: chart.log ? 3 : 1, range: chart.log ? undefined : (u, min, max) => [0, (max || 1) * 1.1] } },
			axes: [
				{ ...axis, label: chart.curve ? 'percentile' : 'seconds', labelSize: 18, values: (u, v) => v.map(chart.curve ? percentile : short), ...(chart.curve && { splits: powers }) },
				{ ...axis, size: 60, values: (u, v) => v.map(short) },
			],
			series: [
				{ label: chart.curve ? 'percentile' : 'second', value: (u, v) => chart.curve ? percentile(v) : short(v) },
				...names.map((label, i) => ({ label, stroke: strokes[i % strokes.length], width: 1.5, spanGaps: true, value: (u, v) => short(v), points: { show: data[0].length < 3 } })),
			],
		}, data, box);
	};

	const drawn = charts.map(chart => {
		const box = document.createElement('div');
		box.className = 'chart';
		document.getElementById('charts').append(box);
		return [draw(chart, box), box];
	});
	addEventListener('resize', () => drawn.forEach(([plot, box]) => plot.setSize({ width: box.clientWidth - 20, height: 260 })));
}
