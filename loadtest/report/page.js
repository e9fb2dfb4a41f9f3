// Draws charts of the reports that report.WritePage put into the page, with uPlot.
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

	// A chart has a table for each report that has something to show: names, x, and a list of y for each name.
	const table = (r, lines, rows, x) => {
		const names = Object.keys(lines).map(name => (r.name + ' ' + name).trim());
		const y = Object.values(lines).map(of => rows.map(row => of(row) ?? null));
		return y.flat().some(v => v != null) ? [{ names, x: rows.map(x), y }] : [];
	};
	// The rest after the last message is no interval to speak of.
	const intervals = r => {
		let before = 0;
		return r.intervals.flatMap((i, n) => {
			const length = i.at_s - before;
			if (length <= 0 || n > 0 && length < 0.2 * r.intervals[0].at_s) return [];
			before = i.at_s;
			return [{ ...i, length }];
		});
	};
	// Where one stage ends and the next begins.
	const marks = r => {
		let sum = 0;
		return (r.stages || []).slice(0, -1).map(s => sum += s.duration_s);
	};
	const overTime = (title, unit, log, lines) => ({ title, unit, log, x: 'second', marks: reports.flatMap(marks), tables: reports.flatMap(r => table(r, lines, intervals(r), i => i.at_s)) });
	const byRate = r => (r.ramp ? r.ramp.steps : (r.stages || []).map(s => ({ rate_per_s: (s.from_per_s + s.to_per_s) / 2, ...s.latency }))).sort((a, b) => a.rate_per_s - b.rate_per_s);
	const charts = [
		overTime('Latency over time', 'ms', true, { p50: i => i.p50_ms, p99: i => i.p99_ms, max: i => i.max_ms }),
		{ title: 'Latency by percentile', unit: 'ms', log: true, curve: true, x: 'percentile', tables: reports.flatMap(r => table(r, { latency: p => p[1] }, r.curve || [], p => p[0])) },
		{ title: 'Latency by rate', unit: 'ms', log: true, x: 'messages per second', tables: reports.flatMap(r => table(r, { p50: s => s.p50_ms, p99: s => s.p99_ms }, byRate(r), s => s.rate_per_s)) },
		overTime('Deliveries', 'per second', false, { delivered: i => i.delivered / i.length }),
		overTime('Connections', 'open', false, { open: i => i.connections }),
		overTime('CPU', 'cores', false, { server: i => i.server_cores, generator: i => i.generator_cores }),
		overTime('Memory of the server', 'MiB', false, { resident: i => i.server_resident_bytes == null ? null : i.server_resident_bytes / (1 << 20) }),
	].filter(chart => chart.tables.length > 0);

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
				{ ...axis, label: chart.x, labelSize: 18, values: (u, v) => v.map(chart.curve ? percentile : short), ...(chart.curve && { splits: powers }) },
				{ ...axis, size: 60, values: (u, v) => v.map(short) },
			],
			hooks: {
				draw: [u => {
					u.ctx.fillStyle = colour('--dim');
					for (const x of chart.marks || []) u.ctx.fillRect(Math.round(u.valToPos(x, 'x', true)), u.bbox.top, 1, u.bbox.height);
				}],
			},
			series: [
				{ label: chart.x, value: (u, v) => chart.curve ? percentile(v) : short(v) },
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
