package blueprint

// hclBody is what stands in a file or between a block's braces.
type hclBody struct {
	attributes []hclAttribute
	blocks     []hclBlock
}

type hclAttribute struct {
	name      string
	line, col int
	value     []hclToken
}

type hclBlock struct {
	kind      string
	labels    []string
	line, col int
	body      hclBody
}

const maxBlockDepth = 20

type hclParser struct {
	tokens []hclToken
	at     int
	depth  int
}

// parseHCL reads a file. The error is a *syntaxError.
func parseHCL(src string) (hclBody, error) {
	tokens, err := lexHCL(src)
	if err != nil {
		return hclBody{}, err
	}
	p := &hclParser{tokens: tokens}
	body, err := p.body(false)
	if err != nil {
		return hclBody{}, err
	}
	return body, nil
}

// peek gives the next token; at the end one of kind tokLine with no text.
func (p *hclParser) peek() hclToken {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	end := hclToken{kind: tokLine, line: 1, col: 1}
	if n := len(p.tokens); n > 0 {
		end.line, end.col = p.tokens[n-1].line, p.tokens[n-1].col
	}
	return end
}

func (p *hclParser) ended() bool { return p.at >= len(p.tokens) }

func (p *hclParser) unexpected(t hclToken) error {
	found := "the end of the file"
	if !p.ended() {
		found = "an unexpected " + describeToken(t)
	}
	return &syntaxError{line: t.line, col: t.col, found: found}
}

func describeToken(t hclToken) string {
	switch t.kind {
	case tokLine:
		return "end of line"
	case tokString:
		return "string"
	}
	return t.text
}

func isPunct(t hclToken, text string) bool { return t.kind == tokPunct && t.text == text }

// body reads attributes and blocks up to the end of the file, or up to and with the closing brace.
func (p *hclParser) body(inBlock bool) (hclBody, error) {
	var b hclBody
	if p.depth++; p.depth > maxBlockDepth {
		t := p.peek()
		return b, &syntaxError{line: t.line, col: t.col, found: "blocks nested too deep"}
	}
	defer func() { p.depth-- }()
	for {
		t := p.peek()
		switch {
		case p.ended() && inBlock:
			return b, p.unexpected(t)
		case p.ended():
			return b, nil
		case t.kind == tokLine:
			p.at++
		case inBlock && isPunct(t, "}"):
			p.at++
			return b, nil
		case t.kind == tokWord:
			if err := p.item(&b); err != nil {
				return b, err
			}
		default:
			return b, p.unexpected(t)
		}
	}
}

// item reads one attribute or one block.
func (p *hclParser) item(b *hclBody) error {
	name := p.peek()
	p.at++
	if isPunct(p.peek(), "=") {
		p.at++
		value, err := p.expression()
		b.attributes = append(b.attributes, hclAttribute{name: name.text, line: name.line, col: name.col, value: value})
		return err
	}
	block := hclBlock{kind: name.text, line: name.line, col: name.col}
	for {
		t := p.peek()
		switch {
		case t.kind == tokWord, t.kind == tokString && !t.template:
			block.labels = append(block.labels, t.text)
			p.at++
			continue
		case isPunct(t, "{"):
			p.at++
			body, err := p.body(true)
			block.body = body
			b.blocks = append(b.blocks, block)
			return err
		}
		return p.unexpected(t)
	}
}

// expression reads up to the end of its line, brackets and what they hold
// included, or up to the brace that closes a block of one line.
func (p *hclParser) expression() ([]hclToken, error) {
	start, open := p.at, 0
	for !p.ended() {
		t := p.peek()
		switch {
		case open == 0 && (t.kind == tokLine || isPunct(t, "}")):
			return p.tokens[start:p.at], nil
		case isPunct(t, "{"), isPunct(t, "["), isPunct(t, "("):
			open++
		case isPunct(t, "}"), isPunct(t, "]"), isPunct(t, ")"):
			if open--; open < 0 {
				return nil, p.unexpected(t)
			}
		}
		p.at++
	}
	if open > 0 {
		return nil, p.unexpected(p.peek())
	}
	return p.tokens[start:p.at], nil
}
