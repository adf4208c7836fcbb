namespace Apvirt.Cli;

/// <summary>What the command's exit status means.</summary>
internal static class ExitCodes
{
    /// <summary>All went well.</summary>
    internal const int Ok = 0;

    /// <summary>The replay differs, or an operation failed.</summary>
    internal const int Differences = 1;

    /// <summary>A file, the runtime directory or the command line is not as it should be; nothing was changed.</summary>
    internal const int BadInput = 2;

    /// <summary>Ended by Ctrl-C; what was found until then was printed.</summary>
    internal const int Interrupted = 130;

    /// <summary>A bug in apvirt.</summary>
    internal const int Internal = 70;
}
