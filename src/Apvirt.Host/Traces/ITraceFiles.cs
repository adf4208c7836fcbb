namespace Apvirt.Host.Traces;

/// <summary>Another way to the files of a session's host than its tree, such as a mount of it.</summary>
public interface ITraceFiles
{
    /// <summary>Opens, reads and closes.</summary>
    /// <param name="path">Path from <c>/sys</c> on.</param>
    Answer Read(string path);

    /// <summary>Opens for writing, writes once and closes.</summary>
    /// <param name="path">Path from <c>/sys</c> on.</param>
    /// <param name="data">What is written.</param>
    /// <returns>The answer; <see cref="Answer.Blocked"/> if the writer still sleeps when nothing moves any more.</returns>
    Answer Write(string path, byte[] data);
}
