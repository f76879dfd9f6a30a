/// Terms and faults while the files are read.
struct TermCollection {
    private var terms: [Term] = []
    private var places: [String: Int] = [:]
    private var faults: [TermFault] = []
    private var furtherFaults = 0
    private var files = 0
    private var isFull = false

    var list: TermList { TermList(terms: terms, faults: faults, furtherFaults: furtherFaults, files: files) }

    mutating func add(_ fault: TermFault) {
        if faults.count < TermList.mostFaults { faults.append(fault) } else { furtherFaults += 1 }
    }

    /// - Parameter bytes: the whole file.
    mutating func add(_ bytes: [UInt8], of file: String) {
        files += 1
        var rest = bytes[...]
        if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest.removeFirst(3) }
        var number = 0
        // Line by line: the slices of a file of empty lines would be many times its size.
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 0x0A) ?? rest.endIndex
            number += 1
            do throws(TermLine.Wrong) {
                if let term = try TermLine(rest[..<end]).term { add(term, file, number) }
            } catch {
                add(.line(file: file, line: number, expected: error.expected, found: error.found))
            }
            rest = rest[end...].dropFirst()
        }
    }

    private mutating func add(_ term: Term, _ file: String, _ line: Int) {
        if let place = places[term.text] {
            terms[place] = term
        } else if terms.count < TermList.mostTerms {
            places[term.text] = terms.count
            terms.append(term)
        } else if !isFull {
            isFull = true
            add(.tooMany(file: file, line: line, limit: TermList.mostTerms))
        }
    }
}
