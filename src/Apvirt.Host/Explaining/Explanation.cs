namespace Apvirt.Host.Explaining;

/// <summary>One statement of an explanation.</summary>
/// <param name="Topic">What it is about, in a word or two.</param>
/// <param name="Text">The statement.</param>
/// <param name="IsObstacle">Whether this is why something is not as one might expect.</param>
/// <param name="Commands">What would change it; empty if nothing has to be changed, or nothing here can.</param>
public sealed record ExplanationLine(string Topic, string Text, bool IsObstacle, IReadOnlyList<string> Commands);

/// <summary>Why something is as it is.</summary>
/// <param name="Subject">A queue, a mediated device or a guest.</param>
/// <param name="Lines">Statements, each following from the ones before.</param>
public sealed record Explanation(string Subject, IReadOnlyList<ExplanationLine> Lines);
