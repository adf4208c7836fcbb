namespace Apvirt.Host.Traces;

/// <summary>What is wrong with a trace, and where.</summary>
/// <param name="File">Name of the file.</param>
/// <param name="Line">Line, from 1.</param>
/// <param name="Column">Column in bytes, from 1.</param>
/// <param name="Message">What is wrong and what was expected.</param>
public sealed record TraceError(string File, int Line, int Column, string Message)
{
    /// <summary>The error in one line, as compilers print errors.</summary>
    public override string ToString() => $"{File}:{Line}:{Column}: {Message}";
}
