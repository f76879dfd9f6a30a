extension Report {
    /// The look of the appliance's own page: ink on paper and the vermilion of a seal; right is told from wrong by
    /// lightness too, for who does not see red.
    static let style = """
        :root {
          color-scheme: light dark;
          --paper: #f5f0e5; --sheet: #fdfaf3; --ink: #221e19; --faded: #675e52; --rule: #ddd3c1;
          --seal: #a8321c; --top3: #c9705a; --top5: #d59a88; --right: #4f8f92; --wrong: #a8321c; --share: #d9cdb9;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --paper: #171513; --sheet: #211e1a; --ink: #ece5d8; --faded: #ab9f8e; --rule: #3a342c;
            --seal: #f0977b; --top3: #b8694f; --top5: #8f5a49; --right: #3f7f83; --wrong: #f0977b; --share: #4d453a;
          }
        }
        *, ::before, ::after { box-sizing: border-box; }
        html {
          font: 100%/1.6 "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei",
            system-ui, sans-serif;
          -webkit-text-size-adjust: 100%; text-size-adjust: 100%;
        }
        body {
          margin: 0; padding: clamp(1rem, 4vw, 2.5rem); background: var(--paper); color: var(--ink);
          border-block-start: 4px solid var(--seal);
        }
        main, header { max-inline-size: 60rem; margin-inline: auto; }
        h1, h2, h3, p, figure { margin: 0; }
        h1 { font-size: 1.5rem; line-height: 1.3; overflow-wrap: anywhere; }
        h2 { font-size: 1.125rem; overflow-wrap: anywhere; }
        header p, .note, figcaption { color: var(--faded); font-size: 0.875rem; overflow-wrap: anywhere; }
        section {
          margin-block-start: 1.25rem; padding: clamp(0.875rem, 3vw, 1.5rem); background: var(--sheet);
          border: 1px solid var(--rule); border-radius: 0.5rem;
        }
        .charts {
          display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1.25rem 2rem;
          margin-block-start: 0.75rem;
        }
        figure { max-inline-size: 32rem; }
        figcaption { margin-block-end: 0.25rem; }
        .wide { overflow-x: auto; margin-block: 0.75rem; }
        table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
        th, td { padding: 0.25rem 0.625rem; text-align: end; border-block-end: 1px solid var(--rule); }
        th { font-weight: 500; color: var(--faded); }
        tbody th { color: var(--ink); }
        th:first-child {
          text-align: start; padding-inline-start: 0; white-space: normal; overflow-wrap: anywhere; min-inline-size: 6rem;
        }
        .key::before {
          content: ""; display: inline-block; inline-size: 0.7em; block-size: 0.7em; margin-inline-end: 0.35em;
          background: currentColor;
        }
        .key { margin-inline-end: 0.9em; color: var(--faded); }
        .key.right::before { background: var(--right); }
        .key.wrong::before { background: var(--wrong); }
        .verdict { margin-block-start: 0.25rem; }
        .verdict.drifted { color: var(--seal); font-weight: 700; }
        svg { display: block; inline-size: 100%; block-size: auto; }
        svg text { font-size: 13px; fill: var(--ink); font-variant-numeric: tabular-nums; }
        svg .tick { font-size: 12px; fill: var(--faded); }
        svg .label { fill: var(--faded); }
        svg .name { font-size: 13px; font-weight: 500; }
        .bars figcaption { color: var(--ink); font-weight: 500; }
        .sheet { fill: var(--sheet); }
        .grid { stroke: var(--rule); }
        .zero { stroke: var(--faded); }
        .diagonal { stroke: var(--faded); stroke-dasharray: 4 3; }
        .top1 { fill: var(--seal); } .top3 { fill: var(--top3); } .top5 { fill: var(--top5); }
        .share, .track { fill: var(--share); }
        .track { opacity: 0.45; }
        rect.right, .under { fill: var(--right); }
        rect.wrong, .over { fill: var(--wrong); }
        .open { fill: var(--faded); }
        .dot { fill: var(--ink); stroke: var(--sheet); stroke-width: 1; }
        @media print { section { break-inside: avoid; } }
        """
}
