using Apvirt.Kernel;

namespace Apvirt.Host.Traces;

/// <summary>The answer to one operation: fields in the order in which a recording has them.</summary>
public sealed class Answer
{
    /// <summary>What a writer gets that still sleeps when nothing moves any more (FORMAT.md).</summary>
    public const string BlockedWord = "blocked";

    private readonly List<KeyValuePair<string, AnswerValue>> _fields = [];

    /// <summary>The fields.</summary>
    public IReadOnlyList<KeyValuePair<string, AnswerValue>> Fields => _fields;

    /// <summary>The error of a result word; Ok for every other answer.</summary>
    public Errno Error { get; private init; }

    /// <summary>An operation that sleeps.</summary>
    public static Answer Blocked { get; } = new Answer().Add("result", new TextValue(BlockedWord));

    /// <summary>The result word of an operation.</summary>
    /// <param name="errno">Its error.</param>
    public static string Word(Errno errno) => errno == Errno.Ok ? "ok" : errno.ToString();

    /// <summary>An answer that is a result word.</summary>
    /// <param name="errno">The error.</param>
    public static Answer Of(Errno errno) => new Answer { Error = errno }.Add("result", new TextValue(Word(errno)));

    /// <summary>An answer that is the text of an attribute.</summary>
    /// <param name="text">The text; may belong to a page that is used again after the answer was read.</param>
    public static Answer Of(ReadOnlyMemory<byte> text) => new Answer().Add("value", new TextValue(text));

    /// <summary>Adds a field.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="value">Its value.</param>
    public Answer Add(string name, AnswerValue value)
    {
        _fields.Add(new(name, value));
        return this;
    }

    internal Answer Add(string name, string text) => Add(name, new TextValue(text));

    internal Answer AddIfAny(string name, string? text) => text is null ? this : Add(name, text);

    internal Answer Add(string name, long number) => Add(name, new NumberValue(number));
}
